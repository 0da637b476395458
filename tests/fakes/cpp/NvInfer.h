// The part of TensorRT's C++ API that runtime/cpp uses, written by hand, for machines without it.
//
// Signatures follow include/NvInferRuntime.h and include/NvInferRuntimeBase.h of the public
// repository NVIDIA/TensorRT. What differs between the versions is chosen by FAKE_TENSORRT:
//   806   8.6: Dims holds int32_t, createExecutionContext takes nothing, versions count in 1000
//   1003  10.3: Dims holds int64_t, createExecutionContext takes a strategy by default
//   1013  10.13, and so 11: also an overload that takes an IRuntimeConfig*
// In the real headers the methods below are inline and not virtual; a caller cannot tell.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#ifndef FAKE_TENSORRT
#define FAKE_TENSORRT 1003
#endif

namespace nvinfer1 {

using AsciiChar = char;

enum class DataType : int32_t {
  kFLOAT = 0,
  kHALF = 1,
  kINT8 = 2,
  kINT32 = 3,
  kBOOL = 4,
  kUINT8 = 5
};
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class OptProfileSelector : int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };

class Dims {
 public:
  static constexpr int32_t MAX_DIMS{8};
  int32_t nbDims;
#if FAKE_TENSORRT < 1000
  int32_t d[MAX_DIMS];
#else
  int64_t d[MAX_DIMS];
#endif
};

class ILogger {
 public:
  enum class Severity : int32_t {
    kINTERNAL_ERROR = 0,
    kERROR = 1,
    kWARNING = 2,
    kINFO = 3,
    kVERBOSE = 4
  };
  virtual void log(Severity severity, AsciiChar const* msg) noexcept = 0;
  ILogger() = default;
  virtual ~ILogger() = default;
};

class IExecutionContext {
 public:
  virtual ~IExecutionContext() noexcept = default;
  virtual bool setInputShape(char const* tensorName, Dims const& dims) noexcept = 0;
  virtual bool setTensorAddress(char const* tensorName, void* data) noexcept = 0;
  virtual bool enqueueV3(cudaStream_t stream) noexcept = 0;
};

#if FAKE_TENSORRT >= 1000
enum class ExecutionContextAllocationStrategy : int32_t { kSTATIC = 0 };
#endif
#if FAKE_TENSORRT >= 1013
class IRuntimeConfig;
#endif

class ICudaEngine {
 public:
  virtual ~ICudaEngine() noexcept = default;
  virtual int32_t getNbIOTensors() const noexcept = 0;
  virtual char const* getIOTensorName(int32_t index) const noexcept = 0;
  virtual TensorIOMode getTensorIOMode(char const* tensorName) const noexcept = 0;
  virtual DataType getTensorDataType(char const* tensorName) const noexcept = 0;
  virtual Dims getTensorShape(char const* tensorName) const noexcept = 0;
  virtual Dims getProfileShape(char const* tensorName, int32_t profileIndex,
                               OptProfileSelector select) const noexcept = 0;
#if FAKE_TENSORRT < 1000
  virtual IExecutionContext* createExecutionContext() noexcept = 0;
#else
  virtual IExecutionContext* createExecutionContext(
      ExecutionContextAllocationStrategy strategy =
          ExecutionContextAllocationStrategy::kSTATIC) noexcept = 0;
#endif
#if FAKE_TENSORRT >= 1013
  virtual IExecutionContext* createExecutionContext(IRuntimeConfig* runtimeConfig) noexcept = 0;
#endif
};

class IRuntime {
 public:
  virtual ~IRuntime() noexcept = default;
  virtual ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept = 0;
  virtual void setDLACore(int32_t dlaCore) noexcept = 0;
};

}  // namespace nvinfer1

extern "C" int32_t getInferLibVersion() noexcept;
extern "C" void* createInferRuntime_INTERNAL(void* logger, int32_t version) noexcept;

namespace nvinfer1 {
namespace {
inline IRuntime* createInferRuntime(ILogger& logger) noexcept {
  return static_cast<IRuntime*>(createInferRuntime_INTERNAL(&logger, FAKE_TENSORRT));
}
}  // namespace
}  // namespace nvinfer1
