// Neuropod's C++ API, header-only over firesteel/pod.h: link with libneuropod and libfiresteel_rt. Errors are std::runtime_error, their
// texts begin with "Neuropod Error: ". A Neuropod may be used by several threads at once; a tensor may be written by one.
#ifndef NEUROPOD_NEUROPOD_HH
#define NEUROPOD_NEUROPOD_HH

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "firesteel/pod.h"

namespace neuropod
{

enum TensorType
{
    FLOAT_TENSOR, DOUBLE_TENSOR, STRING_TENSOR,
    INT8_TENSOR, INT16_TENSOR, INT32_TENSOR, INT64_TENSOR,
    UINT8_TENSOR, UINT16_TENSOR, UINT32_TENSOR, UINT64_TENSOR
};

using NeuropodDevice = int;
namespace Device
{
constexpr NeuropodDevice CPU = -1, GPU0 = 0, GPU1 = 1, GPU2 = 2, GPU3 = 3, GPU4 = 4, GPU5 = 5, GPU6 = 6, GPU7 = 7;
}

struct RuntimeOptions
{
    bool use_ope = false; // run the model in a process of its own
    struct OPEOptions
    {
        bool        free_memory_every_cycle = true;
        std::string control_queue_name; // must be empty: there is no attaching to a worker that runs already
    } ope_options;
    NeuropodDevice visible_device                  = Device::GPU0; // models run on the CPU where there is no GPU
    bool           load_model_at_construction      = true;
    bool           disable_shape_and_type_checking = false;
};

struct Dimension
{
    Dimension(int64_t value_) : value(value_) {}
    Dimension(std::string symbol_) : value(-2), symbol(std::move(symbol_)) {}
    bool operator==(const Dimension &other) const { return value == other.value && symbol == other.symbol; }

    int64_t     value;  // -1: any size; -2: a symbol
    std::string symbol;
};

struct TensorSpec
{
    std::string            name;
    std::vector<Dimension> dims;
    TensorType             type;
};

using Deleter = std::function<void(void *)>;

// What the parts below are made of; not for callers.
namespace detail
{

[[noreturn]] inline void fail(const std::string &text) { throw std::runtime_error("Neuropod Error: " + text); }

inline void check(fst_failure *failure)
{
    if (!failure) return;
    std::string text = fst_failure_message(failure);
    fst_failure_free(failure);
    fail(text);
}

struct VarFree
{
    void operator()(fst_var *var) const { fst_var_free(var); }
};
using Var = std::unique_ptr<fst_var, VarFree>;

inline Var made(fst_var *var)
{
    if (!var) fail("out of memory");
    return Var(var);
}

struct TypeRow
{
    const char *word, *name;
    int         dtype;
};

inline const TypeRow &row(TensorType type)
{
    static const TypeRow rows[] = {
        {"float32", "FLOAT_TENSOR", FST_DT_F32}, {"float64", "DOUBLE_TENSOR", FST_DT_F64}, {"string", "STRING_TENSOR", -1},
        {"int8", "INT8_TENSOR", FST_DT_I8}, {"int16", "INT16_TENSOR", FST_DT_I16}, {"int32", "INT32_TENSOR", FST_DT_I32}, {"int64", "INT64_TENSOR", FST_DT_I64},
        {"uint8", "UINT8_TENSOR", FST_DT_U8}, {"uint16", "UINT16_TENSOR", FST_DT_U16}, {"uint32", "UINT32_TENSOR", FST_DT_U32}, {"uint64", "UINT64_TENSOR", FST_DT_U64}};
    return rows[type];
}

template <typename Match>
TensorType find_type(Match match)
{
    for (int i = FLOAT_TENSOR; i <= UINT64_TENSOR; i++)
        if (match(row(static_cast<TensorType>(i)))) return static_cast<TensorType>(i);
    fail("a tensor of a type that Neuropod does not have");
}

template <typename T> struct TypeOf;
#define NEUROPOD_TYPE_(cpp, type) template <> struct TypeOf<cpp> { static constexpr TensorType value = type; };
NEUROPOD_TYPE_(float, FLOAT_TENSOR) NEUROPOD_TYPE_(double, DOUBLE_TENSOR) NEUROPOD_TYPE_(std::string, STRING_TENSOR)
NEUROPOD_TYPE_(int8_t, INT8_TENSOR) NEUROPOD_TYPE_(int16_t, INT16_TENSOR) NEUROPOD_TYPE_(int32_t, INT32_TENSOR) NEUROPOD_TYPE_(int64_t, INT64_TENSOR)
NEUROPOD_TYPE_(uint8_t, UINT8_TENSOR) NEUROPOD_TYPE_(uint16_t, UINT16_TENSOR) NEUROPOD_TYPE_(uint32_t, UINT32_TENSOR) NEUROPOD_TYPE_(uint64_t, UINT64_TENSOR)
#undef NEUROPOD_TYPE_

inline size_t count(const std::vector<int64_t> &dims)
{
    size_t out = 1;
    for (auto dim : dims)
        if (dim < 0 || __builtin_mul_overflow(out, static_cast<size_t>(dim), &out)) fail("a tensor of a negative or too large size");
    return out;
}

} // namespace detail

class NeuropodTensor;
template <typename T> class TypedNeuropodTensor;

class NeuropodValue
{
public:
    virtual ~NeuropodValue() = default;
    virtual NeuropodTensor       *as_tensor()       = 0;
    virtual const NeuropodTensor *as_tensor() const = 0;
    template <typename T> TypedNeuropodTensor<T>       *as_typed_tensor();
    template <typename T> const TypedNeuropodTensor<T> *as_typed_tensor() const;
    bool operator==(const NeuropodValue &other) const;
};

using NeuropodValueMap = std::unordered_map<std::string, std::shared_ptr<NeuropodValue>>;

class NeuropodTensor : public NeuropodValue
{
public:
    NeuropodTensor       *as_tensor() override { return this; }
    const NeuropodTensor *as_tensor() const override { return this; }

    const std::vector<int64_t> &get_dims() const { return dims_; }
    size_t                      get_num_elements() const { return count_; }
    TensorType                  get_tensor_type() const { return type_; }
    NeuropodDevice              get_device() const { return Device::CPU; }

    // Of a tensor of shape {1}.
    template <typename T> auto as_scalar() { return this->template as_typed_tensor<T>()->template accessor<1>()[scalar_index()]; }

    virtual bool        equals(const NeuropodTensor &other) const = 0;
    virtual detail::Var value() const                             = 0; // for the model

protected:
    NeuropodTensor(TensorType type, std::vector<int64_t> dims) : type_(type), dims_(std::move(dims)), count_(detail::count(dims_)) {}

private:
    size_t scalar_index() const
    {
        if (dims_ != std::vector<int64_t>{1}) detail::fail("Tensor must be 1D with size 1 to be used as a scalar");
        return 0;
    }

    TensorType           type_;
    std::vector<int64_t> dims_;
    size_t               count_;
};

// Elements by index: accessor[i][j]. Nothing is checked.
template <typename T, size_t N>
class TensorAccessor
{
public:
    TensorAccessor(T *data, const int64_t *dims) : data_(data), dims_(dims) {}
    TensorAccessor<T, N - 1> operator[](int64_t index) const
    {
        int64_t stride = 1;
        for (size_t d = 1; d < N; d++) stride *= dims_[d];
        return {data_ + index * stride, dims_ + 1};
    }

private:
    T             *data_;
    const int64_t *dims_;
};

template <typename T>
class TensorAccessor<T, 1>
{
public:
    TensorAccessor(T *data, const int64_t *dims) : data_(data), size_(dims[0]) {}
    T &operator[](int64_t index) const { return data_[index]; }
    T *begin() const { return data_; }
    T *end() const { return data_ + size_; }

private:
    T      *data_;
    int64_t size_;
};

// Holds its dimensions: what view() and flat() return.
template <typename T, size_t N>
class TensorView
{
public:
    TensorView(T *data, std::vector<int64_t> dims) : data_(data), dims_(std::move(dims)) {}
    auto operator[](int64_t index) const -> decltype(std::declval<TensorAccessor<T, N>>()[0]) { return TensorAccessor<T, N>(data_, dims_.data())[index]; }

private:
    T                   *data_;
    std::vector<int64_t> dims_;
};

// What tensors of numbers and of strings have in common.
template <typename T>
class TypedTensorBase : public NeuropodTensor
{
public:
    std::vector<T> get_data_as_vector() const { return std::vector<T>(elements(), elements() + get_num_elements()); }

    void copy_from(const T *data, size_t count)
    {
        if (count != get_num_elements())
            detail::fail("Supplied vector size (" + std::to_string(count) + ") does not match size of tensor (" + std::to_string(get_num_elements()) + ")");
        std::copy(data, data + count, elements());
    }
    void copy_from(const std::vector<T> &data) { copy_from(data.data(), data.size()); }

    template <size_t N> TensorAccessor<T, N> accessor()
    {
        check_rank(N);
        return {elements(), get_dims().data()};
    }
    template <size_t N> TensorAccessor<const T, N> accessor() const
    {
        check_rank(N);
        return {elements(), get_dims().data()};
    }
    // The same elements under other dimensions, of which there must be as many.
    template <typename... Dims> TensorView<T, sizeof...(Dims)> view(Dims... dims)
    {
        std::vector<int64_t> wanted{static_cast<int64_t>(dims)...};
        if (detail::count(wanted) != get_num_elements()) detail::fail("The dimensions of a view must have as many elements as the tensor");
        return {elements(), std::move(wanted)};
    }
    TensorView<T, 1> flat() { return view(get_num_elements()); }

    bool equals(const NeuropodTensor &other) const override
    {
        if (other.get_tensor_type() != get_tensor_type() || other.get_dims() != get_dims()) return false;
        return std::equal(elements(), elements() + get_num_elements(), static_cast<const TypedTensorBase<T> &>(other).elements());
    }

protected:
    explicit TypedTensorBase(std::vector<int64_t> dims) : NeuropodTensor(detail::TypeOf<T>::value, std::move(dims)) {}
    virtual T *data() const = 0;
    T         *elements() { return data(); }
    const T   *elements() const { return data(); }

private:
    void check_rank(size_t rank) const
    {
        if (get_dims().size() != rank) detail::fail("Expected a tensor of rank " + std::to_string(rank) + ", but it has " + std::to_string(get_dims().size()) + " dimensions");
    }
};

template <typename T>
class TypedNeuropodTensor : public TypedTensorBase<T>
{
public:
    TypedNeuropodTensor(std::vector<int64_t> dims, detail::Var var) : TypedTensorBase<T>(std::move(dims)), var_(std::move(var)) {}
    T          *get_raw_data_ptr() { return data(); }
    const T    *get_raw_data_ptr() const { return data(); }
    detail::Var value() const override { return detail::made(fst_var_ref(var_.get())); }

private:
    T          *data() const override { return static_cast<T *>(fst_var_data(var_.get())); }
    detail::Var var_;
};

// Strings have no raw pointer.
template <>
class TypedNeuropodTensor<std::string> : public TypedTensorBase<std::string>
{
public:
    TypedNeuropodTensor(std::vector<int64_t> dims, std::vector<std::string> texts) : TypedTensorBase<std::string>(std::move(dims)), texts_(std::move(texts)) { texts_.resize(get_num_elements()); }
    explicit TypedNeuropodTensor(std::vector<int64_t> dims) : TypedNeuropodTensor(std::move(dims), std::vector<std::string>()) {}
    detail::Var value() const override
    {
        if (get_dims().size() != 1) detail::fail("Only 1D TorchScript string tensors are supported");
        auto list = detail::made(fst_var_list());
        for (const auto &text : texts_)
        {
            auto item = detail::made(fst_var_str(text.data(), text.size()));
            if (!fst_var_list_add(list.get(), item.get())) detail::fail("out of memory");
        }
        return list;
    }

private:
    std::string                     *data() const override { return texts_.data(); }
    mutable std::vector<std::string> texts_;
};

template <typename T>
const TypedNeuropodTensor<T> *NeuropodValue::as_typed_tensor() const
{
    auto type = as_tensor()->get_tensor_type();
    if (type != detail::TypeOf<T>::value)
        detail::fail(std::string("Tried to downcast tensor of type ") + detail::row(type).name + " to a TypedNeuropodTensor of type " + detail::row(detail::TypeOf<T>::value).name);
    return static_cast<const TypedNeuropodTensor<T> *>(as_tensor());
}

template <typename T>
TypedNeuropodTensor<T> *NeuropodValue::as_typed_tensor()
{
    return const_cast<TypedNeuropodTensor<T> *>(static_cast<const NeuropodValue *>(this)->template as_typed_tensor<T>());
}

inline bool NeuropodValue::operator==(const NeuropodValue &other) const { return as_tensor()->equals(*other.as_tensor()); }

namespace detail
{

// `f` called with a null pointer of the C++ type that `type` stands for.
template <typename F>
auto with_type(TensorType type, F f) -> decltype(f(static_cast<float *>(nullptr)))
{
    switch (type)
    {
    case FLOAT_TENSOR: return f(static_cast<float *>(nullptr));
    case DOUBLE_TENSOR: return f(static_cast<double *>(nullptr));
    case STRING_TENSOR: return f(static_cast<std::string *>(nullptr));
    case INT8_TENSOR: return f(static_cast<int8_t *>(nullptr));
    case INT16_TENSOR: return f(static_cast<int16_t *>(nullptr));
    case INT32_TENSOR: return f(static_cast<int32_t *>(nullptr));
    case INT64_TENSOR: return f(static_cast<int64_t *>(nullptr));
    case UINT8_TENSOR: return f(static_cast<uint8_t *>(nullptr));
    case UINT16_TENSOR: return f(static_cast<uint16_t *>(nullptr));
    case UINT32_TENSOR: return f(static_cast<uint32_t *>(nullptr));
    case UINT64_TENSOR: return f(static_cast<uint64_t *>(nullptr));
    }
    fail("no such type of tensor");
}

template <typename T>
std::unique_ptr<TypedNeuropodTensor<T>> allocate(const std::vector<int64_t> &dims, T *)
{
    fst_var *var = nullptr;
    check(fst_var_tensor_new(row(TypeOf<T>::value).dtype, dims.size(), dims.data(), &var));
    Var held(var);
    return std::unique_ptr<TypedNeuropodTensor<T>>(new TypedNeuropodTensor<T>(dims, std::move(held)));
}

inline std::unique_ptr<TypedNeuropodTensor<std::string>> allocate(const std::vector<int64_t> &dims, std::string *)
{
    return std::unique_ptr<TypedNeuropodTensor<std::string>>(new TypedNeuropodTensor<std::string>(dims));
}

struct Lent
{
    void   *data;
    Deleter deleter;
    static void release(void *owner)
    {
        std::unique_ptr<Lent> lent(static_cast<Lent *>(owner));
        if (lent->deleter) lent->deleter(lent->data);
    }
};

template <typename T>
std::unique_ptr<TypedNeuropodTensor<T>> wrap(const std::vector<int64_t> &dims, T *data, const Deleter &deleter)
{
    std::unique_ptr<Lent> lent(new Lent{data, deleter});
    fst_var              *var = nullptr;
    check(fst_var_tensor(row(TypeOf<T>::value).dtype, dims.size(), dims.data(), nullptr, data, Lent::release, lent.get(), &var));
    lent.release();
    Var held(var);
    return std::unique_ptr<TypedNeuropodTensor<T>>(new TypedNeuropodTensor<T>(dims, std::move(held)));
}

inline std::unique_ptr<TypedNeuropodTensor<std::string>> wrap(const std::vector<int64_t> &, std::string *, const Deleter &) { fail("tensor_from_memory does not support strings"); }

// A result of the model.
inline std::shared_ptr<NeuropodValue> from_var(const fst_var *var)
{
    if (fst_var_kind(var) == FST_VAR_TENSOR)
    {
        int  dtype = fst_var_dtype(var);
        auto type  = find_type([&](const TypeRow &r) { return r.dtype == dtype; });
        std::vector<int64_t> dims(fst_var_sizes(var), fst_var_sizes(var) + fst_var_rank(var));
        auto                 held = made(fst_var_ref(var));
        return with_type(type, [&](auto *null) -> std::shared_ptr<NeuropodValue> {
            using T = typename std::remove_pointer<decltype(null)>::type;
            if constexpr (std::is_same<T, std::string>::value) return nullptr;
            else return std::make_shared<TypedNeuropodTensor<T>>(dims, std::move(held));
        });
    }
    std::vector<std::string> texts;
    for (size_t i = 0; i < fst_var_count(var); i++)
    {
        auto        item = made(fst_var_item(var, i));
        size_t      len  = 0;
        const char *text = fst_var_as_str(item.get(), &len);
        texts.emplace_back(text, len);
    }
    std::vector<int64_t> dims{static_cast<int64_t>(texts.size())};
    return std::make_shared<TypedNeuropodTensor<std::string>>(std::move(dims), std::move(texts));
}

} // namespace detail

class NeuropodTensorAllocator
{
public:
    virtual ~NeuropodTensorAllocator() = default;

    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> allocate_tensor(const std::vector<int64_t> &dims) { return detail::allocate(dims, static_cast<T *>(nullptr)); }
    std::unique_ptr<NeuropodTensor> allocate_tensor(const std::vector<int64_t> &dims, TensorType type)
    {
        return detail::with_type(type, [&](auto *null) -> std::unique_ptr<NeuropodTensor> { return detail::allocate(dims, null); });
    }

    // The deleter is called once, from any thread, when nothing uses the memory any more.
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> tensor_from_memory(const std::vector<int64_t> &dims, T *data, const Deleter &deleter) { return detail::wrap(dims, data, deleter); }
    std::unique_ptr<NeuropodTensor> tensor_from_memory(const std::vector<int64_t> &dims, TensorType type, void *data, const Deleter &deleter)
    {
        return detail::with_type(type, [&](auto *null) -> std::unique_ptr<NeuropodTensor> {
            return detail::wrap(dims, static_cast<typename std::remove_pointer<decltype(null)>::type *>(data), deleter);
        });
    }

    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> full(const std::vector<int64_t> &dims, T value)
    {
        auto out = allocate_tensor<T>(dims);
        out->copy_from(std::vector<T>(out->get_num_elements(), value));
        return out;
    }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> zeros(const std::vector<int64_t> &dims) { return full<T>(dims, 0); }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> ones(const std::vector<int64_t> &dims) { return full<T>(dims, 1); }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> arange(T end) { return arange<T>(0, end); }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> arange(T start, T end, T step = 1)
    {
        std::vector<T> items;
        for (T at = start; at < end; at = static_cast<T>(at + step)) items.push_back(at);
        auto out = allocate_tensor<T>({static_cast<int64_t>(items.size())});
        out->copy_from(items);
        return out;
    }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> eye(int64_t m, int64_t n)
    {
        auto out = zeros<T>({m, n});
        for (int64_t i = 0; i < std::min(m, n); i++) out->template accessor<2>()[i][i] = 1;
        return out;
    }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> randn(const std::vector<int64_t> &dims, T mean = 0, T stddev = 1)
    {
        auto                        out = allocate_tensor<T>(dims);
        std::mt19937                engine{std::random_device{}()};
        std::normal_distribution<T> normal(mean, stddev);
        std::generate_n(out->get_raw_data_ptr(), out->get_num_elements(), [&] { return normal(engine); });
        return out;
    }
};

// Tensors without a model.
inline std::shared_ptr<NeuropodTensorAllocator> get_generic_tensor_allocator() { return std::make_shared<NeuropodTensorAllocator>(); }

class Neuropod
{
public:
    explicit Neuropod(const std::string &path, const RuntimeOptions &options = {}) : allocator_(get_generic_tensor_allocator())
    {
        if (options.use_ope && !options.ope_options.control_queue_name.empty())
            detail::fail("control_queue_name is set, but attaching to a worker that runs already is not supported; leave it empty to start one");
        fst_pod_options o = {};
        o.size            = sizeof o;
        o.isolate         = options.use_ope;
        o.no_check        = options.disable_shape_and_type_checking;
        o.load_later      = !options.load_model_at_construction;
        fst_pod *pod      = nullptr;
        detail::check(fst_pod_open(path.c_str(), &o, &pod));
        pod_.reset(pod);
    }

    void load_model() { detail::check(fst_pod_load(pod_.get())); }

    // All outputs, or those that are asked for.
    std::unique_ptr<NeuropodValueMap> infer(const NeuropodValueMap &inputs, const std::vector<std::string> &requested_outputs = {})
    {
        std::vector<detail::Var>     held;
        std::vector<const char *>    names, wanted;
        std::vector<const fst_var *> values;
        for (const auto &input : inputs)
        {
            if (!input.second) detail::fail("the input '" + input.first + "' is a null pointer");
            held.push_back(input.second->as_tensor()->value());
            names.push_back(input.first.c_str());
            values.push_back(held.back().get());
        }
        for (const auto &name : requested_outputs) wanted.push_back(name.c_str());
        fst_var *outputs = nullptr;
        detail::check(fst_pod_infer(pod_.get(), names.data(), values.data(), names.size(), wanted.data(), wanted.size(), &outputs));
        detail::Var dict(outputs);
        auto        out = std::unique_ptr<NeuropodValueMap>(new NeuropodValueMap());
        for (size_t i = 0; i < fst_var_count(dict.get()); i++)
        {
            auto key = detail::made(fst_var_key(dict.get(), i)), value = detail::made(fst_var_item(dict.get(), i));
            (*out)[fst_var_as_str(key.get(), nullptr)] = detail::from_var(value.get());
        }
        return out;
    }

    std::vector<TensorSpec> get_inputs() const { return specs(0); }
    std::vector<TensorSpec> get_outputs() const { return specs(1); }
    std::string             get_name() const { return fst_pod_name(pod_.get()); }
    std::string             get_platform() const { return fst_pod_platform(pod_.get()); }

    std::shared_ptr<NeuropodTensorAllocator> get_tensor_allocator() { return allocator_; }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> allocate_tensor(const std::vector<int64_t> &dims) { return allocator_->allocate_tensor<T>(dims); }
    template <typename T> std::unique_ptr<TypedNeuropodTensor<T>> tensor_from_memory(const std::vector<int64_t> &dims, T *data, const Deleter &deleter)
    {
        return allocator_->tensor_from_memory(dims, data, deleter);
    }

private:
    std::vector<TensorSpec> specs(int outputs) const
    {
        std::vector<TensorSpec> out;
        fst_spec                spec;
        for (size_t i = 0; fst_pod_spec_get(pod_.get(), outputs, i, &spec); i++)
        {
            TensorSpec made{spec.name, {}, detail::find_type([&](const detail::TypeRow &r) { return !std::strcmp(r.word, spec.dtype); })};
            for (size_t d = 0; d < spec.rank; d++)
                made.dims.push_back(spec.symbols[d] ? Dimension(std::string(spec.symbols[d])) : Dimension(spec.dims[d]));
            out.push_back(std::move(made));
        }
        return out;
    }

    struct Close
    {
        void operator()(fst_pod *pod) const { fst_pod_close(pod); }
    };
    std::unique_ptr<fst_pod, Close>          pod_;
    std::shared_ptr<NeuropodTensorAllocator> allocator_;
};

} // namespace neuropod

#endif
