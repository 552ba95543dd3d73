//! The syncer's process.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    if syncer::rbac::is_called() {
        return syncer::rbac::run();
    }
    chassis::run("syncer", syncer::app::build)
}
