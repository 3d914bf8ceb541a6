// Stories of VMs, images, placement, entering and the API.

#include "test/conformance/failpoints/stories.h"

namespace blixard {
namespace {

using env::Task;
using http::Method;
using observe::ScopedFailpoint;
using rest::Reply;

// A start that fails is told, and tried again by the VM's policy.
Task<void> start_that_fails(Cluster& c, std::string_view name, std::string_view actions,
                            std::string_view logged) {
  co_await c.begin();
  co_await c.import_images();
  const ScopedFailpoint site(name, actions);
  const Reply made = co_await c.ask(c.site(1), Method::kPost, "/v1/vms",
                                    R"({"name":"web","image":"tiny","restart":"always"})");
  EXPECT_EQ(made.status, 201) << text_of(made);
  co_await until_logged(c, logged);
  Reply running;
  const Instant deadline = c.env().clock.monotonic() + 1min;
  while (running.text("state") != "running" && c.env().clock.monotonic() < deadline) {
    co_await c.pause(100ms);
    running = co_await c.ask(c.site(1), Method::kGet, "/v1/vms/web");
  }
  EXPECT_EQ(running.text("state"), "running") << text_of(running);
  EXPECT_EQ(running.number("restarts"), 1) << text_of(running);
  EXPECT_EQ(site.fired(), 1u);
  EXPECT_EQ(c.site(1).machine->processes(), 1u);
}
Task<void> vm_create(Cluster& c) {
  co_await start_that_fails(c, "vm::create", "1*error->off", "start_failed: disk_full");
}
Task<void> vm_start(Cluster& c) {
  co_await start_that_fails(c, "vm::start", "1*error->off", "start_failed: start_failed");
}
Task<void> health_check(Cluster& c) {
  co_await start_that_fails(c, "vm::health_check", "1*error->off", "start_failed: guest_not_ready");
}
Task<void> write_record(Cluster& c) {
  co_await start_that_fails(c, "agent::write_record", "1*error->off", "start_failed: disk_full");
}
Task<void> out_of_memory(Cluster& c) {
  co_await start_that_fails(c, "system::out_of_memory", "1*trigger->off",
                            "start_failed: out_of_memory");
}

// A guest that cannot be told to go is ended the hard way.
Task<void> vm_stop(Cluster& c) {
  co_await c.begin();
  co_await c.import_images();
  const Reply made = co_await make_vm(c, c.site(1));
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  const ScopedFailpoint site("vm::stop", "error");
  const Reply stopped =
      co_await c.ask(c.site(1), Method::kPost, "/v1/vms/web/stop?wait=stopped&timeout=60s");
  EXPECT_EQ(stopped.text("state"), "stopped") << text_of(stopped);
  EXPECT_TRUE(was_logged(c, "stopped (monitor_silent)"));
  EXPECT_EQ(c.site(1).machine->processes(), 0u);
  EXPECT_EQ(site.fired(), 1u);
}

Task<void> console(Cluster& c) {
  co_await c.begin();
  co_await c.import_images();
  const Reply made = co_await make_vm(c, c.site(1));
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  {
    const ScopedFailpoint site("vm::console", "error");
    const Reply failed = co_await c.call(c.site(1), Method::kGet, "/v1/vms/web/logs");
    EXPECT_EQ(failed.status, 503) << text_of(failed);
  }
  const Reply read = co_await c.call(c.site(1), Method::kGet, "/v1/vms/web/logs");
  EXPECT_NE(read.status, 503) << text_of(read);
}

// A daemon that cannot ask what runs neither starts a second guest nor gives the first one up.
Task<void> adopt(Cluster& c) {
  co_await c.begin();
  co_await c.import_images();
  const Reply made = co_await make_vm(c, c.site(1));
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  Cluster::crash(c.site(1));
  const ScopedFailpoint site("agent::adopt", "2*error->off");
  c.start(c.site(1));
  co_await c.ready(c.site(1));
  co_await until_logged(c, "adopted, pid");
  EXPECT_EQ(site.fired(), 2u);
  EXPECT_EQ(c.site(1).machine->processes(), 1u);
  const Reply seen = co_await c.ask(c.site(1), Method::kGet, "/v1/vms/web");
  EXPECT_EQ(seen.number("pid"), made.number("pid")) << text_of(seen);
  EXPECT_EQ(seen.number("restarts"), 0) << text_of(seen);
}

Task<void> report(Cluster& c) {
  co_await c.begin();
  co_await c.import_images();
  const ScopedFailpoint site("agent::report", "2*error->off");
  const Reply made = co_await make_vm(c, c.site(1));
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  EXPECT_EQ(site.fired(), 2u);
  EXPECT_TRUE(was_logged(c, "reports wait"));
}

// Nothing of an import that failed stays, and the next one is whole.
Task<void> import_that_fails(Cluster& c, std::string_view name, int status, std::string_view code) {
  co_await c.begin();
  EXPECT_TRUE(co_await agent::write_image(c.site(1).machine->env(), "/src", ""));
  const std::string body = R"({"path":"/src"})";
  {
    const ScopedFailpoint site(name, "error");
    const Reply failed = co_await c.call(c.site(1), Method::kPost, "/v1/images", body);
    EXPECT_EQ(failed.status, status) << text_of(failed);
    EXPECT_EQ(failed.text("code"), code) << text_of(failed);
    const auto left =
        co_await c.site(1).machine->env().disk.list(env::join_path(Site::kData, "images"));
    EXPECT_TRUE(left && left->empty());
  }
  const Reply done = co_await c.ask(c.site(1), Method::kPost, "/v1/images", body);
  EXPECT_EQ(done.status, 201) << text_of(done);
}
Task<void> image_import(Cluster& c) {
  co_await import_that_fails(c, "image::import", 507, "disk_full");
}
Task<void> image_unpack(Cluster& c) {
  co_await import_that_fails(c, "image::unpack", 422, "image_damaged");
}

// The image is gone for everybody; its files stay, and are told of.
Task<void> image_remove(Cluster& c) {
  co_await c.begin();
  co_await c.import_images();
  const ScopedFailpoint site("image::remove", "error");
  const Reply gone = co_await c.ask(c.site(1), Method::kDelete, "/v1/images/tiny");
  EXPECT_EQ(gone.status, 200) << text_of(gone);
  EXPECT_TRUE(was_logged(c, "the files of image tiny stay on the disk: io_error"));
  EXPECT_EQ(site.fired(), 1u);
}

Task<void> enrol(Cluster& c) {
  const ScopedFailpoint site("cluster::enrol", "2*error->off");
  co_await c.form(2);
  EXPECT_EQ(site.fired(), 2u);
  EXPECT_TRUE(was_logged(c, "not enrolled yet"));
}

Task<void> renew_certificate(Cluster& c) {
  co_await c.begin();
  const std::string before = c.site(1).file("node.crt");
  {
    const ScopedFailpoint site("certificate::renew", "error");
    const Reply failed = co_await c.call(c.site(1), Method::kPost, "/v1/certificate/rotate");
    EXPECT_EQ(failed.status, 503) << text_of(failed);
    EXPECT_EQ(c.site(1).file("node.crt"), before);
  }
  const Reply done = co_await c.call(c.site(1), Method::kPost, "/v1/certificate/rotate");
  EXPECT_EQ(done.status, 200) << text_of(done);
  EXPECT_NE(c.site(1).file("node.crt"), before);
}

Task<void> register_node(Cluster& c) {
  const ScopedFailpoint site("worker::register", "2*error->off");
  co_await c.begin();
  EXPECT_EQ(site.fired(), 2u);
  EXPECT_TRUE(was_logged(c, "the cluster has not taken this node's facts yet: no_leader"));
}

// A VM that could not be placed is placed a little later.
Task<void> placed_late(Cluster& c, std::string_view name, std::string_view actions) {
  co_await c.begin();
  co_await c.import_images();
  const ScopedFailpoint site(name, actions);
  const Instant begin = c.env().clock.monotonic();
  const Reply made = co_await make_vm(c, c.site(1));
  EXPECT_EQ(made.text("state"), "running") << text_of(made);
  EXPECT_EQ(site.fired(), 2u);
  EXPECT_GE(c.env().clock.monotonic() - begin, 1s);
}
Task<void> plan(Cluster& c) { co_await placed_late(c, "placement::plan", "2*trigger->off"); }
Task<void> propose(Cluster& c) { co_await placed_late(c, "placement::propose", "2*error->off"); }

Task<void> accept(Cluster& c) {
  co_await c.begin();
  const ScopedFailpoint site("http::accept", "1*trigger->off");
  const Reply none = co_await c.call(c.site(1), Method::kGet, "/v1/vms");
  EXPECT_EQ(none.status, 0) << text_of(none);
  const Reply read = co_await c.call(c.site(1), Method::kGet, "/v1/vms");
  EXPECT_EQ(read.status, 200) << text_of(read);
}

// The answer is lost; the same request again finds what it did, and does it once.
Task<void> response(Cluster& c) {
  co_await c.begin();
  const ScopedFailpoint site("http::response", "1*error->off");
  const std::string key = c.env().random.uuid().text();
  const std::string body = R"({"role":"server"})";
  const Reply lost = co_await c.call(c.site(1), Method::kPost, "/v1/tokens", body, key);
  EXPECT_EQ(lost.status, 0) << text_of(lost);
  const Reply again = co_await c.call(c.site(1), Method::kPost, "/v1/tokens", body, key);
  EXPECT_EQ(again.status, 201) << text_of(again);
  const Reply tokens = co_await c.ask(c.site(1), Method::kGet, "/v1/tokens");
  EXPECT_EQ(tokens.body.at("tokens").as_array().size(), 1u) << text_of(tokens);
}

// Who cannot be accepted now is accepted later.
Task<void> too_many_files(Cluster& c) {
  co_await c.begin();
  const ScopedFailpoint site("system::too_many_files", "2*error->off");
  for (int i = 0; i < 2; ++i) {
    const Reply none = co_await c.call(c.site(1), Method::kGet, "/v1/vms");
    EXPECT_EQ(none.status, 0) << text_of(none);
  }
  const Reply read = co_await c.call(c.site(1), Method::kGet, "/v1/vms");
  EXPECT_EQ(read.status, 200) << text_of(read);
  EXPECT_EQ(site.fired(), 2u);
  EXPECT_TRUE(was_logged(c, "too_many_open_files; trying again until it passes"));
}

}  // namespace

std::vector<Story> node_stories() {
  return {
      {"vm::create", 1, vm_create},
      {"vm::start", 1, vm_start},
      {"vm::stop", 1, vm_stop},
      {"vm::health_check", 1, health_check},
      {"vm::console", 1, console},
      {"system::out_of_memory", 1, out_of_memory},
      {"system::too_many_files", 1, too_many_files},
      {"agent::write_record", 1, write_record},
      {"agent::adopt", 1, adopt},
      {"agent::report", 1, report},
      {"image::import", 1, image_import},
      {"image::unpack", 1, image_unpack},
      {"image::remove", 1, image_remove},
      {"cluster::enrol", 2, enrol},
      {"certificate::renew", 1, renew_certificate},
      {"worker::register", 1, register_node},
      {"placement::plan", 1, plan},
      {"placement::propose", 1, propose},
      {"http::accept", 1, accept},
      {"http::response", 1, response},
  };
}

}  // namespace blixard
