#include "bundle.hpp"

#include <algorithm>
#include <filesystem>

#include "error.hpp"
#include "json.hpp"
#include "sha256.hpp"

namespace edge_arm {
namespace {

namespace fs = std::filesystem;

constexpr int kSchemaVersion = 1;  // of the manifest, of an engine's record and of temperatures

Json read_json(const std::string& path, const Bytes& content) {
  const std::string place = "'" + path + "'";
  const Json value =
      Json::parse({reinterpret_cast<const char*>(content.data()), content.size()}, place);
  const int version = value.at("schema_version").whole_number();
  if (version != kSchemaVersion)
    throw Error(place + " has schema version " + std::to_string(version) +
                ", this program reads " + std::to_string(kSchemaVersion) +
                "; make the file again with an edge-arm of this program's version");
  return value;
}

// A manifest must not lead a reader out of its folder.
std::string inside(const std::string& name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute() || name.find('\\') != std::string::npos ||
      std::find(path.begin(), path.end(), "..") != path.end())
    throw Error("got the file name '" + name + "' in the manifest, expected one inside the bundle; "
                "copy the bundle again");
  return name;
}

void require_contract(const Json& preprocess) {
  for (const auto& [key, expected] : {std::pair<const char*, const char*>{"layout", "NHWC"},
                                      {"dtype", "uint8"},
                                      {"color_order", "RGB"}})
    if (preprocess.at(key).text() != expected)
      throw Error(std::string("preprocessing has ") + key + " '" + preprocess.at(key).text() +
                  "', expected '" + expected + "'; export the model again");
}

std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_not_of(
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_") ==
      std::string::npos;
  if (plain) return text;
  std::string word = "'";
  for (const char letter : text) word += letter == '\'' ? "'\"'\"'" : std::string(1, letter);
  return word + "'";
}

std::string build_command(const Bundle& bundle, const std::string& precision,
                          std::optional<int> dla_core) {
  return "edge-arm build --bundle " + shell_word(bundle.path) + " --precision " + precision +
         (dla_core ? " --dla " + std::to_string(*dla_core) : "");
}

// "10.13.3" is the library's word for what Python's package calls "10.13.3.9".
bool same_tensorrt(const std::string& recorded, const std::string& here) {
  return recorded == here || recorded.rfind(here + ".", 0) == 0;
}

std::vector<fs::path> records_of(const Bundle& bundle, const std::string& stem) {
  std::vector<fs::path> found;
  const fs::path engines = fs::path(bundle.path) / "engines";
  if (!fs::is_directory(engines)) return found;
  for (const auto& folder : fs::directory_iterator(engines))
    if (fs::exists(folder.path() / (stem + ".json")))
      found.push_back(folder.path() / (stem + ".json"));
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

Bundle open_bundle(const std::string& path) {
  const std::string file = (fs::path(path) / "manifest.json").string();
  const Json manifest = read_json(file, read_file(file));
  require_contract(manifest.at("preprocess"));
  Bundle bundle;
  bundle.path = path;
  bundle.size = manifest.at("preprocess").at("size").whole_number();
  for (const Json& name : manifest.at("labels").at("classes").list())
    bundle.classes.push_back(name.text());
  for (const Json& item : manifest.at("models").list())
    bundle.models.push_back({inside(item.at("file").text()), item.at("precision").text(),
                             item.at("variant").text(), item.at("sha256").text()});
  for (const auto& [name, digest] : manifest.at("files").members())
    bundle.files.emplace_back(inside(name), digest.text());
  if (bundle.size < 1 || bundle.classes.size() < 2)
    throw Error("'" + file + "' has faces of " + std::to_string(bundle.size) + " pixels and " +
                std::to_string(bundle.classes.size()) +
                " classes, expected at least 1 and 2; export the model again");
  return bundle;
}

EngineFile find_engine(const Bundle& bundle, const std::string& precision, const Machine& machine,
                       std::optional<int> dla_core) {
  const std::string command = build_command(bundle, precision, dla_core);
  const std::string stem = precision + (dla_core ? "-dla" + std::to_string(*dla_core) : "");
  std::string others;
  for (const fs::path& path : records_of(bundle, stem)) {
    const Json record = read_json(path.string(), read_file(path.string()));
    const Json& device = record.at("device");
    const std::string gpu = device.at("gpu").text(), tensorrt = device.at("tensorrt").text();
    const std::string capability = device.at("compute_capability").text();
    if (gpu != machine.gpu || capability != machine.compute_capability ||
        !same_tensorrt(tensorrt, machine.tensorrt)) {
      others += (others.empty() ? "one for " : ", one for ") + gpu + " (" + capability +
                ") with TensorRT " + tensorrt;
      continue;
    }
    const std::string& onnx = record.at("onnx_sha256").text();
    const bool current = std::any_of(bundle.models.begin(), bundle.models.end(),
                                     [&onnx](const Model& item) { return item.sha256 == onnx; });
    if (!current)
      throw Error("the " + precision + " engine was built from an ONNX file with SHA-256 " +
                  onnx.substr(0, 12) + "..., which the bundle no longer has: the model was "
                  "exported or calibrated again since; run '" + command + "'");
    return {fs::path(path).replace_extension(".plan").string(), record.at("plan_sha256").text(),
            command};
  }
  throw Error("the bundle '" + bundle.path + "' has no " + stem + " engine for " + machine.gpu +
              " (" + machine.compute_capability + ") with TensorRT " + machine.tensorrt +
              ", it has " + (others.empty() ? "none" : others) + "; run '" + command + "' here");
}

std::optional<double> temperature_of(const Bundle& bundle, const std::string& precision) {
  constexpr const char* kName = "temperature.json";
  const auto listed = std::find_if(bundle.files.begin(), bundle.files.end(),
                                   [](const auto& file) { return file.first == kName; });
  const auto model =
      std::find_if(bundle.models.begin(), bundle.models.end(), [&precision](const Model& item) {
        return item.precision == precision && item.variant == "main";
      });
  if (listed == bundle.files.end() || model == bundle.models.end()) return std::nullopt;
  const std::string path = (fs::path(bundle.path) / kName).string();
  const Json stored =
      read_json(path, read_verified(path, listed->second, "copy the bundle again"));
  const Json* fitted = stored.at("models").find(precision);
  if (fitted == nullptr || fitted->at("model_sha256").text() != model->sha256) return std::nullopt;
  const double temperature = fitted->at("temperature").number();
  if (!(temperature > 0))
    throw Error("'" + path + "' has the temperature " + std::to_string(temperature) +
                ", expected one above 0; calibrate again");
  return temperature;
}

}  // namespace edge_arm
