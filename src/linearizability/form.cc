#include "linearizability/form.h"

namespace blixard::linearizability {

const Form* Form::find(std::string_view key) const {
  if (kind != Kind::kMap) return nullptr;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool names = items[i].kind == Kind::kKeyword || items[i].kind == Kind::kString;
    if (names && items[i].text == key) return &items[i + 1];
  }
  return nullptr;
}

std::string Form::printed() const {
  switch (kind) {
    case Kind::kNil:
      return "nil";
    case Kind::kBool:
    case Kind::kNumber:
    case Kind::kOther:
      return text;
    case Kind::kKeyword:
      return ":" + text;
    case Kind::kString: {
      std::string printed = "\"";
      for (const char byte : text) {
        if (byte == '"' || byte == '\\') printed += '\\';
        printed += byte;
      }
      return printed + '"';
    }
    case Kind::kVector:
    case Kind::kMap: {
      std::string printed = kind == Kind::kVector ? "[" : "{";
      for (const Form& item : items) {
        if (&item != &items.front()) printed += ' ';
        printed += item.printed();
      }
      return printed + (kind == Kind::kVector ? ']' : '}');
    }
  }
  return {};
}

}  // namespace blixard::linearizability
