//! `delight-bench-floor LOG COMMAND…`: the smallest holder that appends a log.
//!
//! One PTY, one child, output appended to LOG and copied to standard output, input copied in; nothing else: no client, no screen, no
//! protocol, no record framing. What it costs is what the work costs; what others cost beyond it is their own.
//!
//! `delight-bench-floor --stamp FILE` is the child whose first instruction the benches time: it writes the monotonic clock
//! in nanoseconds.

#![allow(clippy::print_stderr)] // A program of the bench folder reports by printing.

use std::io::{self, Read, Write};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(log), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: delight-bench-floor LOG COMMAND [ARGUMENT…]");
        std::process::exit(2);
    };
    if log == "--stamp" {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
        let text = format!("{}\n", now.tv_sec() * 1_000_000_000 + now.tv_nsec());
        return std::fs::write(program, text);
    }
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).map_err(io::Error::other)?;
    let mut command = CommandBuilder::new(program);
    command.args(arguments);
    let mut child = pair.slave.spawn_command(command).map_err(io::Error::other)?;
    drop(pair.slave);
    let mut keys = pair.master.take_writer().map_err(io::Error::other)?;
    // It ends with the program: nobody waits for it.
    std::thread::spawn(move || io::copy(&mut io::stdin(), &mut keys));
    let mut log = std::fs::File::create(log)?;
    let mut reader = pair.master.try_clone_reader().map_err(io::Error::other)?;
    let mut out = io::stdout().lock();
    let mut buffer = vec![0u8; 64 << 10];
    // The end of a PTY is an error on Linux and a zero elsewhere.
    while let Ok(got @ 1..) = reader.read(&mut buffer) {
        log.write_all(&buffer[..got])?;
        out.write_all(&buffer[..got])?;
        out.flush()?;
    }
    let status = child.wait()?;
    std::process::exit(i32::try_from(status.exit_code()).unwrap_or(1));
}
