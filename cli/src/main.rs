//! The vault command: parse, dispatch, exit.

mod allocator;
mod args;
mod commands;
mod complaint;
mod exit;
mod newkeys;
mod output;
mod patterns;
mod secrets;
mod session;
mod settings;
mod units;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    world::shield_memory();
    allocator::give_memory_back();
    let world = world::World::enter();
    ExitCode::from(commands::run(world, std::env::args_os().collect()).code())
}
