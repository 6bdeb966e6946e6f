// The same service on Neuropod's C++ API, with the model in a process of its own when the third word is "apart".
//   c++ -std=c++17 service.cc $(pkg-config --cflags --libs neuropod) -o service && ./service model.neuropod here x y < vectors.txt
#include <iostream>
#include <sstream>

#include <neuropod/neuropod.hh>

int main(int argc, char **argv)
{
    if (argc < 4)
    {
        std::cerr << "usage: service MODEL here|apart INPUT...\n";
        return 2;
    }
    try
    {
        neuropod::RuntimeOptions options;
        options.use_ope = argv[2] == std::string("apart");
        neuropod::Neuropod model(argv[1], options);
        for (std::string line; std::getline(std::cin, line);)
        {
            std::istringstream words(line);
            std::vector<float> numbers;
            for (float number; words >> number;) numbers.push_back(number);
            std::shared_ptr<neuropod::TypedNeuropodTensor<float>> x = model.allocate_tensor<float>({static_cast<int64_t>(numbers.size())});
            x->copy_from(numbers);
            neuropod::NeuropodValueMap inputs;
            for (int i = 3; i < argc; i++) inputs[argv[i]] = x; // the same vector for every input
            const char *between = "";
            auto        outputs = model.infer(inputs);
            for (const auto &output : *outputs)
                for (float number : output.second->as_typed_tensor<float>()->get_data_as_vector())
                {
                    std::cout << between << number;
                    between = " ";
                }
            std::cout << std::endl;
        }
    }
    catch (const std::runtime_error &error)
    {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
