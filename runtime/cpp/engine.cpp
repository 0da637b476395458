#include "engine.hpp"

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <iostream>

#include "error.hpp"
#include "sha256.hpp"

namespace edge_arm {
namespace {

void check(cudaError_t status, const std::string& what) {
  if (status != cudaSuccess)
    throw Error(what + " failed (" + cudaGetErrorString(status) +
                "), expected a working GPU; look at the driver with nvidia-smi or tegrastats");
}

// TensorRT tells reasons to its log alone, so the last error is kept for the exception.
class Log : public nvinfer1::ILogger {
 public:
  void log(Severity severity, nvinfer1::AsciiChar const* text) noexcept override {
    if (severity == Severity::kERROR || severity == Severity::kINTERNAL_ERROR)
      reason_ = text;
    else if (severity == Severity::kWARNING)
      std::cerr << "TensorRT: " << text << "\n";
  }

  std::string why() const { return reason_.empty() ? "it gives no reason" : reason_; }

 private:
  std::string reason_;
};

struct FreeDeviceMemory {
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
using DeviceMemory = std::unique_ptr<void, FreeDeviceMemory>;

DeviceMemory device_memory(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "taking " + std::to_string(bytes) + " bytes of GPU memory");
  return DeviceMemory(memory);
}

class Stream {
 public:
  Stream() { check(cudaStreamCreate(&stream_), "making a CUDA stream"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// The library that is loaded, not the headers this was compiled with. TensorRT 8 counts 8601,
// later ones 100300; no 9.x or later number is as small as 8.x's largest.
std::string tensorrt_version() {
  const std::int32_t version = getInferLibVersion();
  const std::int32_t major = version < 10000 ? version / 1000 : version / 10000;
  const std::int32_t rest = version < 10000 ? version % 1000 : version % 10000;
  return std::to_string(major) + "." + std::to_string(rest / 100) + "." +
         std::to_string(rest % 100);
}

Machine this_machine() {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the GPU");
  cudaDeviceProp facts{};
  check(cudaGetDeviceProperties(&facts, device), "asking the GPU for its name");
  return {facts.name, std::to_string(facts.major) + "." + std::to_string(facts.minor),
          tensorrt_version()};
}

}  // namespace

// Members go in the reverse order of this list: the context is part of the engine, the engine of
// the runtime, and the log outlives them all.
struct Engine::Loaded {
  Log log;
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  std::unique_ptr<nvinfer1::IExecutionContext> context;
  Stream stream;
  DeviceMemory faces, logits;
  std::string input, output, command;
  std::size_t face_bytes = 0, num_classes = 0, smallest = 0, largest = 0;

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(what + "; run '" + command + "'");
  }

  void read_contract(const Bundle& bundle) {
    for (std::int32_t index = 0; index < engine->getNbIOTensors(); ++index) {
      const char* name = engine->getIOTensorName(index);
      const bool is_input = engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
      std::string& place = is_input ? input : output;
      if (!place.empty()) fail("the engine has several inputs or outputs, expected one of each");
      place = name;
    }
    if (input.empty() || output.empty()) fail("the engine has no input or no output");
    const nvinfer1::Dims face = engine->getTensorShape(input.c_str());
    const nvinfer1::Dims answer = engine->getTensorShape(output.c_str());
    const auto classes = static_cast<std::int64_t>(bundle.classes.size());
    if (engine->getTensorDataType(input.c_str()) != nvinfer1::DataType::kUINT8 ||
        engine->getTensorDataType(output.c_str()) != nvinfer1::DataType::kFLOAT ||
        face.nbDims != 4 || face.d[1] != bundle.size || face.d[2] != bundle.size ||
        face.d[3] != 3 || answer.nbDims != 2 || answer.d[1] != classes)
      fail("the engine has other tensors than the bundle says, expected uint8 (N, " +
           std::to_string(bundle.size) + ", " + std::to_string(bundle.size) +
           ", 3) and float32 (N, " + std::to_string(classes) + ")");
    face_bytes = std::size_t{3} * static_cast<std::size_t>(bundle.size) *
                 static_cast<std::size_t>(bundle.size);
    num_classes = bundle.classes.size();
    smallest = batch(nvinfer1::OptProfileSelector::kMIN);
    largest = batch(nvinfer1::OptProfileSelector::kMAX);
  }

  // A batch size of the first optimization profile; edge-arm builds no other.
  std::size_t batch(nvinfer1::OptProfileSelector which) const {
    const nvinfer1::Dims shape = engine->getProfileShape(input.c_str(), 0, which);
    if (shape.nbDims != 4 || shape.d[0] < 1) fail("the engine has no batch sizes");
    return static_cast<std::size_t>(shape.d[0]);
  }
};

Engine::Engine(const Bundle& bundle, const std::string& precision, std::optional<int> dla_core)
    : loaded_(std::make_unique<Loaded>()) {
  Loaded& loaded = *loaded_;
  const EngineFile file = find_engine(bundle, precision, this_machine(), dla_core);
  loaded.command = file.command;
  const Bytes plan = read_verified(file.plan, file.plan_sha256,
                                   "copy the engine again or run '" + file.command + "'");
  loaded.runtime.reset(nvinfer1::createInferRuntime(loaded.log));
  if (!loaded.runtime) loaded.fail("TensorRT does not start (" + loaded.log.why() + ")");
  if (dla_core) loaded.runtime->setDLACore(*dla_core);
  loaded.engine.reset(loaded.runtime->deserializeCudaEngine(plan.data(), plan.size()));
  if (!loaded.engine)
    loaded.fail("TensorRT does not load '" + file.plan + "' (" + loaded.log.why() +
                "), expected an engine that it built");
  loaded.read_contract(bundle);
  loaded.context.reset(loaded.engine->createExecutionContext());
  if (!loaded.context)
    loaded.fail("the engine got no memory to run in (" + loaded.log.why() +
                "), expected enough; end other programs, or build it for smaller batches");
  loaded.faces = device_memory(loaded.largest * loaded.face_bytes);
  loaded.logits = device_memory(loaded.largest * loaded.num_classes * sizeof(float));
  if (!loaded.context->setTensorAddress(loaded.input.c_str(), loaded.faces.get()) ||
      !loaded.context->setTensorAddress(loaded.output.c_str(), loaded.logits.get()))
    loaded.fail("TensorRT does not take the memory (" + loaded.log.why() + ")");
}

Engine::~Engine() = default;

std::size_t Engine::max_batch() const { return loaded_->largest; }

std::vector<float> Engine::infer(const std::uint8_t* pixels, std::size_t num_faces) {
  Loaded& loaded = *loaded_;
  if (num_faces < loaded.smallest || num_faces > loaded.largest)
    throw Error("got " + std::to_string(num_faces) + " faces, expected " +
                std::to_string(loaded.smallest) + " to " + std::to_string(loaded.largest) +
                " as the engine was built for; build one with another --batch");
  nvinfer1::Dims shape = loaded.engine->getTensorShape(loaded.input.c_str());
  shape.d[0] = static_cast<decltype(+shape.d[0])>(num_faces);
  if (!loaded.context->setInputShape(loaded.input.c_str(), shape))
    loaded.fail("TensorRT does not take " + std::to_string(num_faces) + " faces (" +
                loaded.log.why() + ")");
  std::vector<float> logits(num_faces * loaded.num_classes);
  const cudaStream_t stream = loaded.stream.get();
  check(cudaMemcpyAsync(loaded.faces.get(), pixels, num_faces * loaded.face_bytes,
                        cudaMemcpyHostToDevice, stream),
        "copying faces to the GPU");
  const bool queued = loaded.context->enqueueV3(stream);
  if (queued)
    check(cudaMemcpyAsync(logits.data(), loaded.logits.get(), logits.size() * sizeof(float),
                          cudaMemcpyDeviceToHost, stream),
          "copying logits from the GPU");
  // Also after a failure: the copy reads the caller's faces until it is done.
  const cudaError_t finished = cudaStreamSynchronize(stream);
  if (!queued) loaded.fail("the engine does not run (" + loaded.log.why() + ")");
  check(finished, "waiting for the engine");
  return logits;
}

}  // namespace edge_arm
