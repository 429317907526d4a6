//! A process on its way to its program: forked, in a session of its own, on its streams, and stopped short of `exec`.
//!
//! The daemon has a start made ready while it writes down that there is one; only then the program is executed, and what
//! is left to do by then is one byte through a pipe. A process that is not let go ends without having done anything:
//! when its [`Forked`] is dropped, and when the holder ends in whatever way.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use delight_proto::holder::Start;
use nix::libc;
use nix::unistd::Pid;

/// What executes a file that is in no format the kernel knows: a script without a first line, as `execvp` has it.
const SHELL: &std::ffi::CStr = c"/bin/sh";
/// Where programs are looked up when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A process that has executed nothing yet.
pub(crate) struct Forked {
    pid: Pid,
    go: PipeWriter,
    /// The number of what failed; closed without a word by `exec`.
    failure: PipeReader,
}

impl Forked {
    /// Forks a process for `start` whose standard streams are `stdio`; on a terminal that becomes its controlling one.
    ///
    /// # Errors
    /// `InvalidInput` for an empty command line and for NUL bytes; whatever forking fails with.
    #[allow(unsafe_code)]
    pub(crate) fn new(start: &Start, stdio: [BorrowedFd<'_>; 3], terminal: bool) -> io::Result<Self> {
        let program = Program::of(start)?;
        let image = program.image();
        let (is_go, go) = io::pipe()?;
        let (failure, mut fails) = io::pipe()?;
        // SAFETY: there is one thread, so the child may do whatever this program may do; it ends by `exec` or `_exit`.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // Its own copies would keep it waiting for ever after the holder's end.
                drop((go, failure));
                let stdio = stdio.map(|stream| stream.as_raw_fd());
                let number = image.execute(stdio, terminal, is_go).raw_os_error().unwrap_or(libc::EIO);
                // Nobody reads it if the holder has ended.
                let _ = fails.write_all(&number.to_ne_bytes());
                // SAFETY: ends this process, and runs nothing of what its parent has registered for its own end.
                unsafe { libc::_exit(127) }
            }
            pid => Ok(Self { pid: Pid::from_raw(pid), go, failure }),
        }
    }

    /// Its number; its program will have it too.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Lets it execute its program, and returns when it has.
    ///
    /// # Errors
    /// Why it did not; then nothing of the process is left.
    pub(crate) fn go(self) -> io::Result<()> {
        let Self { pid, mut go, mut failure } = self;
        // One that was killed meanwhile takes nothing; its end is told like any runner's.
        let _ = go.write_all(&[1]);
        drop(go);
        let mut number = [0; 4];
        match failure.read_exact(&mut number) {
            Ok(()) => {
                // It may have been collected already.
                let _ = nix::sys::wait::waitpid(pid, None);
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
            }
            Err(_) => Ok(()),
        }
    }
}

/// The files that are tried for a program, in order: itself, or each of its places in `PATH`.
pub(crate) fn candidates(start: &Start) -> Vec<String> {
    let Some(program) = start.argv.first() else { return Vec::new() };
    if program.contains('/') {
        return vec![program.clone()];
    }
    let path = path_variable(start).unwrap_or(DEFAULT_PATH);
    // An empty place is the working directory.
    path.split(':')
        .map(|place| if place.is_empty() { "." } else { place })
        .map(|p| format!("{p}/{program}"))
        .collect()
}

/// `PATH`, as the program will see it.
pub(crate) fn path_variable(start: &Start) -> Option<&str> {
    start.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str())
}

/// A program in the strings `execve` takes.
struct Program {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

impl Program {
    fn of(start: &Start) -> io::Result<Self> {
        if start.argv.first().is_none_or(String::is_empty) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Of two entries with one name the later one counts; a program would find the first.
        let env: BTreeMap<&str, &str> = start.env.iter().map(|(name, value)| (&**name, &**value)).collect();
        Ok(Self {
            candidates: strings(candidates(start))?,
            argv: strings(start.argv.iter().cloned())?,
            env: strings(env.into_iter().map(|(name, value)| format!("{name}={value}")))?,
            cwd: CString::new(&*start.cwd)?,
        })
    }

    fn image(&self) -> Image<'_> {
        let mut script = vec![SHELL.as_ptr(), ptr::null()];
        script.extend(self.argv.iter().skip(1).map(|text| text.as_ptr()));
        script.push(ptr::null());
        Image { program: self, argv: pointers(&self.argv), env: pointers(&self.env), script }
    }
}

/// The same with the lists of pointers that go with it: made before the fork.
struct Image<'a> {
    program: &'a Program,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    /// The shell's arguments for a script; the second is the script.
    script: Vec<*const c_char>,
}

impl Image<'_> {
    /// In the forked process: makes it what its program expects, waits to be let go, and becomes the program. Returns
    /// why not.
    #[allow(unsafe_code)]
    fn execute(mut self, stdio: [RawFd; 3], terminal: bool, mut is_go: PipeReader) -> io::Error {
        // SAFETY: calls on numbers, and on memory of this process that outlives them.
        let prepared = unsafe { prepare(stdio, terminal, &self.program.cwd) };
        if let Err(e) = prepared {
            return e;
        }
        let mut byte = [0];
        if is_go.read_exact(&mut byte).is_err() {
            // Nobody wants it.
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) };
        }
        let mut failed = io::Error::from_raw_os_error(libc::ENOENT);
        for file in &self.program.candidates {
            // SAFETY: strings and lists end with a NUL and outlive the call.
            unsafe { libc::execve(file.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
            let mut error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::ENOEXEC) {
                self.script[1] = file.as_ptr();
                // SAFETY: as above.
                unsafe { libc::execve(SHELL.as_ptr(), self.script.as_ptr(), self.env.as_ptr()) };
                error = io::Error::last_os_error();
            }
            match error.raw_os_error() {
                // One that may not be executed is worth more words than places that do not have it.
                Some(libc::EACCES) => failed = error,
                Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => {}
                _ => return error,
            }
        }
        failed
    }
}

/// A session of its own, the terminal as its controlling one (which makes the new process group the foreground one), its
/// streams, its directory, and signals as a program expects them.
///
/// # Safety
/// The process must be one that was just forked.
#[allow(unsafe_code)]
unsafe fn prepare(stdio: [RawFd; 3], terminal: bool, cwd: &CString) -> io::Result<()> {
    let done = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: numbers, a string that ends with a NUL, and memory of this frame.
    unsafe {
        done(libc::setsid())?;
        for (to, from) in (0..).zip(stdio) {
            // The holder's own standard streams are open, so none of these is one.
            done(libc::dup2(from, to))?;
        }
        if terminal {
            done(libc::ioctl(0, libc::TIOCSCTTY as _, 0))?;
        }
        done(libc::chdir(cwd.as_ptr()))?;
        // What the daemon or this holder ignores would stay ignored. Numbers without a signal are refused.
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    Ok(())
}

fn strings(texts: impl IntoIterator<Item = String>) -> io::Result<Vec<CString>> {
    texts.into_iter().map(|text| CString::new(text).map_err(io::Error::from)).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}
