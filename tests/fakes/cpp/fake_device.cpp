// A GPU and a TensorRT that are not there: memory that is counted, a stream that does nothing until
// it is waited for, and an engine that knows the logits of the faces in its plan.
//
// A plan of the fake is "FAKEPLAN size classes min max faces\n", then each face's pixels and logits.
// Environment: FAKE_GPU names the GPU (Orin); FAKE_FAULT makes one thing fail: start, context,
// enqueue, malloc, sync, address, shape, device, two-outputs, no-output. A mistake of the program
// (foreign memory, a shape that was not set, something left behind) is told on stderr behind
// "fake: " and ends the process with status 70.
#include <NvInfer.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

struct CUstream_st {
  std::vector<std::function<void()>> work;
};

namespace {

[[noreturn]] void mistake(const std::string& what) {
  std::fprintf(stderr, "fake: %s\n", what.c_str());
  std::_Exit(70);
}

bool fault(const char* name) {
  const char* wanted = std::getenv("FAKE_FAULT");
  return wanted != nullptr && std::strcmp(wanted, name) == 0;
}

struct Counted {  // what must be gone at the end; constructed first, so destroyed last
  std::map<const char*, std::size_t> memory;
  int streams = 0, objects = 0;
  ~Counted() {
    if (!memory.empty() || streams != 0 || objects != 0) mistake("something was left behind");
  }
} counted;

// Whole or a part of one piece of device memory.
bool on_device(const void* address, std::size_t bytes) {
  const char* start = static_cast<const char*>(address);
  for (const auto& [piece, size] : counted.memory)
    if (start >= piece && start + bytes <= piece + size) return true;
  return false;
}

struct Plan {
  std::size_t size = 0, classes = 0, min = 0, max = 0;
  std::map<std::string, std::vector<float>> answers;
};

template <typename Base>
struct Object : Base {
  Object() { ++counted.objects; }
  ~Object() noexcept override { --counted.objects; }
};

using nvinfer1::Dims;

Dims dims(std::initializer_list<std::int64_t> sizes) {
  Dims result{};
  for (const std::int64_t size : sizes)
    result.d[result.nbDims++] = static_cast<decltype(+result.d[0])>(size);
  return result;
}

class Context : public Object<nvinfer1::IExecutionContext> {
 public:
  Context(const Plan& plan, nvinfer1::ILogger& log) : plan_(plan), log_(log) {}

  bool setInputShape(char const* name, Dims const& shape) noexcept override {
    if (std::strcmp(name, "faces") != 0) return false;
    batch_ = static_cast<std::size_t>(shape.d[0]);
    if (fault("shape")) log_.log(nvinfer1::ILogger::Severity::kERROR, "a shape of the wrong form");
    return batch_ >= plan_.min && batch_ <= plan_.max && !fault("shape");
  }

  bool setTensorAddress(char const* name, void* data) noexcept override {
    addresses_[name] = data;
    return !fault("address");
  }

  bool enqueueV3(cudaStream_t stream) noexcept override {
    if (fault("enqueue")) {
      log_.log(nvinfer1::ILogger::Severity::kERROR, "the fake does not run today");
      return false;
    }
    if (batch_ == 0) mistake("no shape was set");
    const std::size_t face = 3 * plan_.size * plan_.size;
    char* const pixels = static_cast<char*>(addresses_["faces"]);
    char* const logits = static_cast<char*>(addresses_["logits"]);
    const std::size_t batch = batch_, row = plan_.classes * sizeof(float);
    if (!on_device(pixels, batch * face) || !on_device(logits, batch * row))
      mistake("the engine was given memory that is not the GPU's");
    stream->work.push_back([=, this_plan = &plan_] {
      for (std::size_t i = 0; i < batch; ++i) {
        const auto known = this_plan->answers.find(std::string(pixels + i * face, face));
        if (known == this_plan->answers.end()) mistake("a face that the plan does not know");
        std::memcpy(logits + i * row, known->second.data(), row);
      }
    });
    return true;
  }

 private:
  const Plan& plan_;
  nvinfer1::ILogger& log_;
  std::map<std::string, void*> addresses_;
  std::size_t batch_ = 0;
};

class Engine : public Object<nvinfer1::ICudaEngine> {
 public:
  Engine(Plan plan, nvinfer1::ILogger& log) : plan_(std::move(plan)), log_(log) {}

  int32_t getNbIOTensors() const noexcept override {
    return fault("two-outputs") ? 3 : fault("no-output") ? 1 : 2;
  }
  char const* getIOTensorName(int32_t index) const noexcept override {
    return index == 0 ? "faces" : index == 1 ? "logits" : "more";
  }
  nvinfer1::TensorIOMode getTensorIOMode(char const* name) const noexcept override {
    return is_faces(name) ? nvinfer1::TensorIOMode::kINPUT : nvinfer1::TensorIOMode::kOUTPUT;
  }
  nvinfer1::DataType getTensorDataType(char const* name) const noexcept override {
    return is_faces(name) ? nvinfer1::DataType::kUINT8 : nvinfer1::DataType::kFLOAT;
  }
  Dims getTensorShape(char const* name) const noexcept override {
    return is_faces(name) ? faces(-1) : dims({-1, static_cast<std::int64_t>(plan_.classes)});
  }
  Dims getProfileShape(char const* name, int32_t profile,
                       nvinfer1::OptProfileSelector select) const noexcept override {
    if (!is_faces(name) || profile != 0) mistake("there is one profile, of the faces");
    const bool smallest = select == nvinfer1::OptProfileSelector::kMIN;
    return faces(static_cast<std::int64_t>(smallest ? plan_.min : plan_.max));
  }
#if FAKE_TENSORRT < 1000
  nvinfer1::IExecutionContext* createExecutionContext() noexcept override { return make(); }
#else
  nvinfer1::IExecutionContext* createExecutionContext(
      nvinfer1::ExecutionContextAllocationStrategy) noexcept override {
    return make();
  }
#endif
#if FAKE_TENSORRT >= 1013
  nvinfer1::IExecutionContext* createExecutionContext(nvinfer1::IRuntimeConfig*) noexcept override {
    mistake("nobody asked for this overload");
  }
#endif

 private:
  nvinfer1::IExecutionContext* make() {
    if (!fault("context")) return new Context(plan_, log_);
    log_.log(nvinfer1::ILogger::Severity::kERROR, "the fake has no memory");
    return nullptr;
  }
  static bool is_faces(char const* name) { return std::strcmp(name, "faces") == 0; }
  Dims faces(std::int64_t batch) const {
    const auto size = static_cast<std::int64_t>(plan_.size);
    return dims({batch, size, size, 3});
  }

  Plan plan_;
  nvinfer1::ILogger& log_;
};

class Runtime : public Object<nvinfer1::IRuntime> {
 public:
  explicit Runtime(nvinfer1::ILogger& log) : log_(log) {}

  nvinfer1::ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept
      override {
    std::fprintf(stderr, "fake: deserialized\n");
    log_.log(nvinfer1::ILogger::Severity::kINFO, "the fake reads a plan");
    std::istringstream text(std::string(static_cast<const char*>(blob), size));
    Plan plan;
    std::string word;
    std::size_t count = 0;
    text >> word >> plan.size >> plan.classes >> plan.min >> plan.max >> count;
    if (word != "FAKEPLAN") {
      log_.log(nvinfer1::ILogger::Severity::kERROR, "the magic tag does not match");
      return nullptr;
    }
    text.get();
    for (std::size_t i = 0; i < count; ++i) {
      std::string pixels(3 * plan.size * plan.size, '\0');
      std::vector<float> logits(plan.classes);
      text.read(pixels.data(), static_cast<std::streamsize>(pixels.size()));
      text.read(reinterpret_cast<char*>(logits.data()),
                static_cast<std::streamsize>(plan.classes * sizeof(float)));
      plan.answers[pixels] = logits;
    }
    return new Engine(std::move(plan), log_);
  }

  void setDLACore(int32_t core) noexcept override {
    std::fprintf(stderr, "fake: DLA %d\n", static_cast<int>(core));
  }

 private:
  nvinfer1::ILogger& log_;
};

}  // namespace

extern "C" {

int32_t getInferLibVersion() noexcept {
  constexpr int32_t major = FAKE_TENSORRT / 100, minor = FAKE_TENSORRT % 100;
  return major < 10 ? major * 1000 + minor * 100 + 1 : major * 10000 + minor * 100;
}

void* createInferRuntime_INTERNAL(void* logger, int32_t) noexcept {
  auto& log = *static_cast<nvinfer1::ILogger*>(logger);
  if (!fault("start")) return static_cast<nvinfer1::IRuntime*>(new Runtime(log));
  log.log(nvinfer1::ILogger::Severity::kINTERNAL_ERROR, "the driver is too old");
  return nullptr;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return fault("device") ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* facts, int) {
  const char* name = std::getenv("FAKE_GPU");
  std::snprintf(facts->name, sizeof facts->name, "%s", name == nullptr ? "Orin" : name);
  facts->major = 8;
  facts->minor = 7;
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the fake";
}

cudaError_t cudaMalloc(void** address, std::size_t size) {
  if (fault("malloc")) return cudaErrorMemoryAllocation;
  char* memory = new char[size];
  std::memset(memory, 0xCD, size);
  counted.memory[memory] = size;
  *address = memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  if (address == nullptr) return cudaSuccess;
  if (counted.memory.erase(static_cast<char*>(address)) == 0) mistake("freed what is not there");
  delete[] static_cast<char*>(address);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const bool up = kind == cudaMemcpyHostToDevice;
  if (!on_device(up ? to : from, bytes) || on_device(up ? from : to, 1))
    mistake("a copy in the wrong direction, or beyond the end");
  stream->work.push_back([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  ++counted.streams;
  *stream = new CUstream_st;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream->work.empty()) mistake("a stream was destroyed before it was done");
  --counted.streams;
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  for (const auto& piece : stream->work) piece();
  stream->work.clear();
  return fault("sync") ? cudaErrorInvalidValue : cudaSuccess;
}

}  // extern "C"
