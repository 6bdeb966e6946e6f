// Neuropod's C++ API on real packages, which test_bindings.py makes.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "neuropod/neuropod.hh"

using namespace neuropod;

#define CHECK(cond) ((cond) ? (void)0 : (std::cerr << __FILE__ << ":" << __LINE__ << ": " << #cond << "\n", std::exit(1)))

template <typename F>
static std::string said(F f)
{
    try
    {
        f();
    }
    catch (const std::runtime_error &error)
    {
        return error.what();
    }
    return "nothing";
}

static void addition(const std::string &path, bool ope)
{
    RuntimeOptions options;
    options.use_ope = ope;
    Neuropod model(path, options);
    CHECK(model.get_name() == "addition" && model.get_platform() == "torchscript");
    auto inputs = model.get_inputs(), outputs = model.get_outputs();
    CHECK(inputs.size() == 2 && inputs[1].name == "y" && inputs[1].type == FLOAT_TENSOR && inputs[1].dims == std::vector<Dimension>{Dimension("N")});
    CHECK(outputs.size() == 1 && outputs[0].dims == std::vector<Dimension>{Dimension(-1)});

    std::shared_ptr<TypedNeuropodTensor<float>> x = model.allocate_tensor<float>({4});
    x->copy_from(std::vector<float>{1, 2, 3, 4});
    alignas(64) static float memory[] = {5, 6, 7, 8};
    int                      deleted  = 0;
    {
        std::shared_ptr<NeuropodValue> y   = model.tensor_from_memory<float>({4}, memory, [&](void *data) { deleted += data == memory; });
        auto                           out = model.infer({{"x", x}, {"y", y}});
        CHECK(out->size() == 1 && (out->at("out")->as_typed_tensor<float>()->get_data_as_vector() == std::vector<float>{6, 8, 10, 12}));
        CHECK((out->at("out")->as_tensor()->get_dims() == std::vector<int64_t>{4}) && out->at("out")->as_tensor()->get_device() == Device::CPU);
        CHECK(model.infer({{"x", x}, {"y", y}}, {"out"})->size() == 1);
        CHECK(said([&] { model.infer({{"x", x}, {"y", y}}, {"bogus"}); }) == "Neuropod Error: Tried to request a tensor that does not exist: bogus");
        CHECK(said([&] { out->at("out")->as_typed_tensor<double>(); }) == "Neuropod Error: Tried to downcast tensor of type FLOAT_TENSOR to a TypedNeuropodTensor of type DOUBLE_TENSOR");
        CHECK(said([&] { model.infer({{"x", x}, {"y", y}, {"bogus", y}}); }) == "Neuropod Error: Tensor name(s) '{\"bogus\"}' are not found in the input spec");
        CHECK(deleted == 0);
    }
    CHECK(deleted == 1);
    std::shared_ptr<NeuropodValue> wrong = model.get_tensor_allocator()->zeros<uint64_t>({4});
    CHECK(said([&] { model.infer({{"x", x}, {"y", wrong}}); }) == "Neuropod Error: Tensor 'y' in the input spec is expected to be of type FLOAT_TENSOR, but was of type UINT64_TENSOR");
}

static void strings(const std::string &path, bool ope)
{
    RuntimeOptions options;
    options.use_ope = ope;
    Neuropod model(path, options);
    using Strings = TypedNeuropodTensor<std::string>;
    std::shared_ptr<Strings> x = model.allocate_tensor<std::string>({2}), y = model.allocate_tensor<std::string>({2});
    x->copy_from({"a", std::string("n\0l", 3)});
    y->accessor<1>()[0] = "b";
    y->flat()[1]        = "\xe2\x82\xac";
    auto out            = model.infer({{"x", x}, {"y", y}});
    CHECK((out->at("out")->as_typed_tensor<std::string>()->get_data_as_vector() == std::vector<std::string>{"a b", std::string("n\0l \xe2\x82\xac", 7)}));
    CHECK(said([&] { model.tensor_from_memory<std::string>({1}, nullptr, nullptr); }) == "Neuropod Error: tensor_from_memory does not support strings");
    std::shared_ptr<NeuropodValue> grid = model.allocate_tensor<std::string>({1, 2});
    CHECK(said([&] { model.infer({{"x", grid}, {"y", grid}}); }).find("Only 1D TorchScript string tensors are supported") != std::string::npos);
}

static void dict_of_union(const std::string &path, bool ope)
{
    RuntimeOptions options;
    options.use_ope = ope;
    Neuropod model(path, options);
    std::shared_ptr<TypedNeuropodTensor<std::string>> a = model.allocate_tensor<std::string>({2});
    std::shared_ptr<TypedNeuropodTensor<float>>       b = model.allocate_tensor<float>({2, 1});
    a->copy_from({"one", "two"});
    b->copy_from(std::vector<float>{3, 4});
    auto out = model.infer({{"a", a}, {"b", b}});
    CHECK((out->at("c")->as_typed_tensor<float>()->get_data_as_vector() == std::vector<float>{3, 6, 4, 8}));
    CHECK((out->at("d")->as_typed_tensor<std::string>()->get_data_as_vector() == std::vector<std::string>{"one!", "two!"}));
}

static void loading(const std::string &path)
{
    CHECK(said([] { Neuropod("/no/such/package"); }) == "Neuropod Error: Error loading Neuropod. No file or directory at '/no/such/package'");
    RuntimeOptions options;
    options.load_model_at_construction = false;
    Neuropod model(path, options);
    CHECK(model.get_inputs().size() == 2);
    CHECK(said([&] { model.infer({}); }) == "Neuropod Error: The model was not loaded before calling `infer`. This usually means that `load_model_at_construction` was set to false and "
                                            "`load_model()` was not explicitly called");
    model.load_model();
    auto allocator = model.get_tensor_allocator();
    std::shared_ptr<NeuropodValue> one = allocator->ones<float>({1});
    CHECK(model.infer({{"x", one}, {"y", one}})->at("out")->as_tensor()->as_scalar<float>() == 2);
    CHECK(said([&] { model.load_model(); }) == "Neuropod Error: The model has already been loaded. This usually means that `load_model_at_construction` was set to true (default) or "
                                               "`load_model()` was already explicitly called");
    options.disable_shape_and_type_checking = options.load_model_at_construction = true;
    Neuropod unchecked(path, options);
    std::shared_ptr<NeuropodValue> wide = allocator->full<double>({2, 2}, 3);
    auto text = said([&] { CHECK((unchecked.infer({{"x", wide}, {"y", wide}})->at("out")->as_typed_tensor<double>()->get_data_as_vector() == std::vector<double>(4, 6))); });
    CHECK(text == "nothing" || text.find("was not compiled for these arguments") != std::string::npos);
}

static void tensors()
{
    auto allocator = get_generic_tensor_allocator();
    auto grid      = allocator->arange<int32_t>(6);
    CHECK(grid->get_num_elements() == 6 && grid->view(2, 3)[1][2] == 5 && grid->flat()[4] == 4);
    auto cube = allocator->allocate_tensor<int16_t>({2, 3, 4});
    cube->accessor<3>()[1][2][3] = 7;
    CHECK(cube->get_raw_data_ptr()[23] == 7 && cube->get_raw_data_ptr()[0] == 0);
    auto eye = allocator->eye<double>(2, 3);
    CHECK((eye->get_data_as_vector() == std::vector<double>{1, 0, 0, 0, 1, 0}));
    CHECK(*allocator->ones<float>({2}) == *allocator->full<float>({2}, 1) && !(*allocator->ones<float>({2}) == *allocator->zeros<float>({2})));
    CHECK(!(*allocator->zeros<float>({2}) == *allocator->zeros<float>({1, 2})) && !(*allocator->zeros<float>({2}) == *allocator->zeros<int32_t>({2})));
    CHECK((allocator->arange<float>(1, 2, 0.5f)->get_data_as_vector() == std::vector<float>{1, 1.5}));
    CHECK(allocator->randn<float>({1000}, 100, 1)->get_raw_data_ptr()[7] > 50);
    CHECK(allocator->allocate_tensor({}, INT8_TENSOR)->get_num_elements() == 1);
    CHECK(said([&] { grid->accessor<2>(); }).find("Expected a tensor of rank 2") != std::string::npos);
    CHECK(said([&] { grid->copy_from({1, 2}); }) == "Neuropod Error: Supplied vector size (2) does not match size of tensor (6)");
    CHECK(said([&] { grid->as_scalar<int32_t>(); }).find("1D with size 1") != std::string::npos);
    CHECK(said([&] { allocator->allocate_tensor<float>({-1}); }).find("Neuropod Error: ") == 0);
    CHECK(said([&] { allocator->tensor_from_memory({1}, STRING_TENSOR, nullptr, nullptr); }) == "Neuropod Error: tensor_from_memory does not support strings");
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    tensors();
    for (bool ope : {false, true})
    {
        addition(argv[1], ope);
        strings(argv[2], ope);
        dict_of_union(argv[3], ope);
    }
    loading(argv[1]);
    std::puts("ok");
}
