#include "node/template/store.h"

#include "env/scope.h"
#include "node/vm/sim/test_suite_host.h"
#include "sim/world.h"

namespace blixard::templates {
namespace {

using env::Task;

constexpr const char* kRoot = "/var/lib/blixard/templates";
constexpr Bytes kMost = mib(1024);

// A store on a simulated machine, whose guests are those of vm_sim::SimHypervisor.
class TemplateStore : public testing::Test {
 protected:
  TemplateStore() : world_(1), machine_(world_.add_machine("a")), host_(machine_) {}

  // `story` gets a store that is open, and that nobody runs.
  void run(std::function<Task<void>(Store&)> story, Bytes most = kMost) {
    const auto main = [&]() -> Task<void> {
      const auto prepared = co_await host_.prepare();
      EXPECT_TRUE(prepared) << prepared.error().message();
      auto store = co_await Store::open(host_.env(), kRoot, host_.driver(), most);
      EXPECT_TRUE(store) << store.error().message();
      if (store) co_await story(**store);
      store->reset();
      co_await host_.driver().close();
    };
    EXPECT_TRUE(world_.run(main(), 1h)) << world_.log_lines().back();
  }

  // Runs it beside the story, with this many clones of each key.
  Task<void> while_running(Store& store, Task<void> story) {
    env::Scope scope(host_.env().executor, co_await env::this_cancellation());
    scope.spawn(store.run(
        {.clones = [this] { return clones_; }, .is_starting = [this] { return is_starting_; }}));
    co_await std::move(story);
    scope.cancel();
    co_await scope.join();
  }

  Task<void> let_pass(Duration duration) {
    EXPECT_TRUE(co_await host_.env().clock.sleep(duration));
  }

  vm::GuestSpec guest(std::uint32_t memory_mib = 128) {
    vm::GuestSpec spec = host_.guest("");
    spec.memory = mib(memory_mib);
    return spec;
  }

  Task<std::vector<std::string>> folders() {
    const auto entries = co_await host_.env().disk.list(kRoot);
    std::vector<std::string> names;
    if (entries)
      for (const auto& entry : *entries)
        names.push_back(entry.name);
    co_return names;
  }

  sim::World world_;
  sim::Machine& machine_;
  vm_sim::SimHost host_;
  std::map<std::string, std::size_t> clones_;
  bool is_starting_ = false;
};

std::string reason(const auto& result) {
  return result ? "ok" : std::string(result.error().reason());
}

TEST_F(TemplateStore, AfterABootATemplateIsMadeAndFound) {
  run([this](Store& store) -> Task<void> {
    const vm::GuestSpec spec = guest();
    EXPECT_EQ(reason(co_await store.find(spec)), "template_none");
    co_await while_running(store, [&]() -> Task<void> {
      store.want(spec, "guest");
      store.want(guest(), "guest");  // of the same kind
      co_await let_pass(10s);
    }());
    const auto found = co_await store.find(guest());
    EXPECT_EQ(reason(found), "ok");
    EXPECT_EQ(found->files.size(), 2u);
    EXPECT_EQ((co_await folders()), std::vector<std::string>{found->key.substr(0, 16)});
    EXPECT_EQ(reason(co_await store.find(guest(256))), "template_none");
    const auto listed = store.list();
    EXPECT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0].manifest.image, "guest");
    EXPECT_EQ(listed[0].manifest.memory, mib(128));
    EXPECT_TRUE(listed[0].is_checked);
  });
}

TEST_F(TemplateStore, WhatWasMadeIsCheckedBeforeItIsUsedAgain) {
  run([this](Store& first) -> Task<void> {
    EXPECT_TRUE(co_await first.make(guest(), "guest"));
    const auto again = co_await Store::open(host_.env(), kRoot, host_.driver(), kMost);
    EXPECT_TRUE(again);
    EXPECT_EQ(reason(co_await (*again)->find(guest())), "template_unchecked");
    co_await while_running(**again, let_pass(1s));
    EXPECT_EQ(reason(co_await (*again)->find(guest())), "ok");
  });
}

TEST_F(TemplateStore, DamageIsFoundAndTheTemplateMadeAnew) {
  run([this](Store& first) -> Task<void> {
    for (const char* file : {"ram", "state", "manifest.json"}) {
      EXPECT_TRUE(co_await first.make(guest(), "guest"));
      const std::string folder = env::join_path(kRoot, (co_await folders()).front());
      const auto opened =
          co_await host_.env().disk.open(env::join_path(folder, file), env::OpenMode::kReadWrite);
      EXPECT_TRUE(opened);
      const std::array<std::string_view, 1> damage{"\x01"};
      EXPECT_TRUE(co_await (*opened)->write_at(1, damage));
      const auto again = co_await Store::open(host_.env(), kRoot, host_.driver(), kMost);
      co_await while_running(**again, [&]() -> Task<void> {
        co_await let_pass(1s);
        EXPECT_EQ(reason(co_await (*again)->find(guest())), "template_none") << file;
        EXPECT_TRUE((co_await folders()).empty()) << file;
        (*again)->want(guest(), "guest");
        co_await let_pass(10s);
        EXPECT_EQ(reason(co_await (*again)->find(guest())), "ok") << file;
      }());
      EXPECT_TRUE(co_await (*again)->remove((*again)->list().front().manifest.key));
      co_await first.refuse(first.list().front().manifest.key, "it is gone");
    }
  });
}

TEST_F(TemplateStore, OneThatIsDoubtedIsReadThroughAgain) {
  run([this](Store& store) -> Task<void> {
    const auto made = co_await store.make(guest(), "guest");
    EXPECT_EQ(reason(made), "ok");
    co_await while_running(store, [&]() -> Task<void> {
      store.doubt(made->key);
      EXPECT_EQ(reason(co_await store.find(guest())), "template_unchecked");
      co_await let_pass(1s);
      EXPECT_EQ(reason(co_await store.find(guest())), "ok");

      const auto found = co_await store.find(guest());
      machine_.corrupt(env::join_path(found->directory, "ram"), 0);
      store.doubt(made->key);
      store.doubt("of nothing");
      co_await let_pass(1s);
      EXPECT_EQ(reason(co_await store.find(guest())), "template_none");
    }());
  });
}

TEST_F(TemplateStore, OfAHostWithAnotherTimeStampCounterIsNotUsed) {
  run([this](Store& store) -> Task<void> {
    EXPECT_TRUE(co_await store.make(guest(), "guest"));
    const std::string path =
        env::join_path(env::join_path(kRoot, (co_await folders()).front()), "manifest.json");
    const auto text = co_await host_.env().disk.read_file(path, 16384);
    auto manifest = Manifest::decode(text.value());
    manifest->tsc_khz = manifest->tsc_khz * 2 + 1'000'000;
    EXPECT_TRUE(co_await host_.env().disk.replace_file(path, manifest->encode()));
    const auto again = co_await Store::open(host_.env(), kRoot, host_.driver(), kMost);
    co_await while_running(**again, let_pass(1s));
    EXPECT_EQ(reason(co_await (*again)->find(guest())), "template_unfit");
  });
}

TEST_F(TemplateStore, WhatAMakingLeftGoesAtTheNextOpen) {
  run([this](Store&) -> Task<void> {
    const std::string left = env::join_path(kRoot, ".making-0123456789abcdef");
    EXPECT_TRUE(co_await host_.env().disk.make_directory(left));
    EXPECT_TRUE(co_await host_.env().disk.replace_file(env::join_path(left, "ram"), "half"));
    EXPECT_TRUE(co_await Store::open(host_.env(), kRoot, host_.driver(), kMost));
    EXPECT_TRUE((co_await folders()).empty());
  });
}

TEST_F(TemplateStore, AMakingThatFailsLeavesNothingAndIsTriedAgainMuchLater) {
  run([this](Store& store) -> Task<void> {
    host_.hypervisor().fail_next_starts = true;
    EXPECT_FALSE(co_await store.make(guest(), "guest"));
    EXPECT_TRUE((co_await folders()).empty());
    host_.hypervisor().fail_next_starts = false;
    co_await while_running(store, [&]() -> Task<void> {
      store.want(guest(), "guest");
      co_await let_pass(1min);
      EXPECT_EQ(reason(co_await store.find(guest())), "template_none");
      co_await let_pass(10min);
      store.want(guest(), "guest");
      co_await let_pass(1min);
      EXPECT_EQ(reason(co_await store.find(guest())), "ok");
    }());
  });
}

TEST_F(TemplateStore, NoneIsMadeWhileAVmIsBeingStarted) {
  run([this](Store& store) -> Task<void> {
    is_starting_ = true;
    co_await while_running(store, [&]() -> Task<void> {
      store.want(guest(), "guest");
      co_await let_pass(1min);
      EXPECT_EQ(reason(co_await store.find(guest())), "template_none");
      is_starting_ = false;
      co_await let_pass(10s);
      EXPECT_EQ(reason(co_await store.find(guest())), "ok");
    }());
  });
}

TEST_F(TemplateStore, RoomIsMadeByTheOneUsedTheLongestTimeAgo) {
  run([this](Store& first) -> Task<void> {
    for (const std::uint32_t memory_mib : {100, 101}) {
      EXPECT_TRUE(co_await first.make(guest(memory_mib), "guest"));
      co_await let_pass(1s);
    }
    // One of the two and a third have room.
    const Bytes most = mib(128) + first.list()[0].size;
    const auto store = co_await Store::open(host_.env(), kRoot, host_.driver(), most);
    co_await while_running(**store, let_pass(1s));
    EXPECT_EQ(reason(co_await (*store)->find(guest(100))), "ok");  // the older one, used again
    EXPECT_EQ(reason(co_await (*store)->make(guest(256), "guest")), "template_too_large");
    EXPECT_EQ((*store)->list().size(), 2u);
    EXPECT_TRUE(co_await (*store)->make(guest(128), "guest"));
    EXPECT_EQ(reason(co_await (*store)->find(guest(100))), "ok");
    EXPECT_EQ(reason(co_await (*store)->find(guest(101))), "template_none");
    EXPECT_EQ((co_await folders()).size(), 2u);
  });
}

TEST_F(TemplateStore, NoneIsMadeWhereTheHostHasNoMemoryForIt) {
  run([this](Store& store) -> Task<void> {
    machine_.set_memory_available(mib(300));
    EXPECT_EQ(reason(co_await store.make(guest(128), "guest")), "out_of_memory");
    EXPECT_TRUE((co_await folders()).empty());
    machine_.set_memory_available(mib(400));
    EXPECT_EQ(reason(co_await store.make(guest(128), "guest")), "ok");
  });
}

TEST_F(TemplateStore, OneWithClonesStays) {
  run([this](Store& store) -> Task<void> {
    const auto made = co_await store.make(guest(), "guest");
    EXPECT_TRUE(made);
    clones_[made->key] = 1;
    co_await while_running(store, [&]() -> Task<void> {
      co_await let_pass(1s);
      EXPECT_EQ(reason(co_await store.remove(made->key)), "template_in_use");
      EXPECT_EQ(store.list().front().clones, 1u);
      clones_.clear();
      EXPECT_EQ(reason(co_await store.remove(made->key)), "ok");
      EXPECT_EQ(reason(co_await store.remove(made->key)), "template_not_found");
      EXPECT_TRUE((co_await folders()).empty());
    }());
  });
}

TEST_F(TemplateStore, WithoutRoomThereAreNone) {
  run(
      [this](Store& store) -> Task<void> {
        EXPECT_EQ(reason(co_await store.find(guest())), "template_off");
        EXPECT_EQ(reason(co_await store.make(guest(), "guest")), "template_off");
        co_await while_running(store, [&]() -> Task<void> {
          store.want(guest(), "guest");
          co_await let_pass(1min);
          EXPECT_TRUE((co_await folders()).empty());
        }());
      },
      Bytes());
}

TEST_F(TemplateStore, TwoWhoWantTheSameGetOne) {
  run([this](Store& store) -> Task<void> {
    Result<Manifest> one = fail(Code::kInternal, "none");
    Result<Manifest> other = one;
    const auto make = [&](Result<Manifest>& into) -> Task<void> {
      into = co_await store.make(guest(), "guest");
    };
    env::Scope scope(host_.env().executor, nullptr);
    scope.spawn(make(one));
    scope.spawn(make(other));
    co_await scope.join();
    EXPECT_TRUE(one && other);
    EXPECT_EQ(one->made, other->made);
  });
}

}  // namespace
}  // namespace blixard::templates
