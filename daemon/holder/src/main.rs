//! `delight-holder`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    delight_holder::main(std::env::args_os().skip(1))
}
