//! Files and commands: confined to a session's directory, or to the owner's roots, and bounded as the owner says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;
use delight_proto::sync::bounded::{Hidden, Line, Name, Text};
use delight_proto::sync::rpc::{
    CommandOutcome, DirectoryListing, DirectoryTree, FileContent, FileRequest, FileWritten, RunBash, RunTool,
    answer,
};
use serde::Serialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::fitting::{ANSWER, FILE, fitted};
use super::machine::json_of;
use super::settings::{FileAccess, expand};
use super::tools::{Arguments, DIFFTASTIC, RIPGREP, Tool};
use super::{Remote, words};
use crate::confined::Confined;
use crate::process::errand::{Errand, Outcome, plain_environment, run};

/// How long a command may take when the caller does not say, as with Happy.
const USUAL_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take at most: an answer after the server's 30 s would reach nobody.
const LONGEST_LIMIT: Duration = Duration::from_secs(24);

/// How long the file system may take. A hung one keeps a thread, and its caller is told.
const FILES_WITHIN: Duration = Duration::from_secs(20);

/// Bytes of standard error in an answer; the rest is for standard output.
const STDERR: usize = 100_000;

/// Where a call may reach.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// A session's directory.
    Session(PathBuf),
    /// The owner's roots.
    Machine,
}

impl Remote {
    /// Answers a call about files or commands.
    pub(super) async fn answer_files(&self, scope: Scope, request: FileRequest) -> Value {
        let needs = match &request {
            FileRequest::WriteFile(_) => FileAccess::Write,
            FileRequest::Bash(_) => FileAccess::Off,
            _ => FileAccess::Read,
        };
        let answered = if self.settings.files < needs {
            Err(Refusal::new(
                Code::Forbidden,
                "Access denied",
                format!("{} is switched off on this machine", request.method()),
            )
            .fix("its owner can set remote.files"))
        } else {
            self.carry_out(scope, request).await
        };
        answered.unwrap_or_else(|refusal| answer::failed(&words(&refusal)))
    }

    async fn carry_out(&self, scope: Scope, request: FileRequest) -> Result<Value, Refusal> {
        match request {
            FileRequest::Bash(request) => self.bash(&scope, request).await,
            FileRequest::Ripgrep(request) => self.ripgrep(&scope, &request).await,
            FileRequest::Difftastic(request) => self.difftastic(&scope, &request).await,
            FileRequest::ReadFile(request) => {
                self.files(&scope, request.path.to_string(), |files, path| {
                    let content = BASE64.encode(files.read(path, FILE)?);
                    Ok(FileContent { content: Hidden::new(Text::cut(content)) })
                })
                .await
            }
            FileRequest::WriteFile(request) => {
                let content = BASE64.decode(request.content.expose().as_str()).map_err(|e| {
                    Refusal::new(
                        Code::BadParams,
                        "File not written",
                        format!("its content is no base64: {e}"),
                    )
                })?;
                self.files(&scope, request.path.to_string(), move |files, path| {
                    let hash = files.write(path, &content, &request.expected_hash)?;
                    Ok(FileWritten { hash: Name::cut(hash) })
                })
                .await
            }
            FileRequest::ListDirectory(request) => {
                self.files(&scope, request.path.to_string(), |files, path| {
                    Ok(DirectoryListing { entries: files.list(path, ANSWER)? })
                })
                .await
            }
            FileRequest::GetDirectoryTree(request) => {
                self.files(&scope, request.path.to_string(), move |files, path| {
                    Ok(DirectoryTree { tree: files.tree(path, request.max_depth, ANSWER)? })
                })
                .await
            }
        }
    }

    /// Looks at files beside the loop, and answers with what was found.
    async fn files<T: Serialize + Send + 'static>(
        &self,
        scope: &Scope,
        path: String,
        look: impl FnOnce(&Confined, &str) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Value, Refusal> {
        let (roots, denied) = (self.roots(scope), self.denied());
        let home = self.home.clone();
        let found = spawn_blocking(move || {
            let path = with_home(&path, &home);
            look(&containing(&roots, &denied, &path)?, &path)
        });
        answer::succeeded(&in_file_time(found).await?)
    }

    fn roots(&self, scope: &Scope) -> Vec<PathBuf> {
        match scope {
            Scope::Session(directory) => vec![directory.clone()],
            Scope::Machine => {
                self.settings.roots.iter().filter_map(|root| expand(root, &self.home)).collect()
            }
        }
    }

    /// Out of bounds for every file call: what the owner says, and all that is the daemon's own (keys, journals, policy).
    fn denied(&self) -> Vec<PathBuf> {
        let own = [&self.place.state, &self.place.runtime, &self.place.config];
        let named = self.settings.deny.iter().filter_map(|path| expand(path, &self.home));
        named.chain(own.into_iter().cloned()).collect()
    }

    async fn bash(&self, scope: &Scope, request: RunBash) -> Result<Value, Refusal> {
        if !self.settings.shell {
            return Err(Refusal::new(
                Code::Forbidden,
                "Access denied",
                "running commands is switched off on this machine",
            )
            .fix("its owner can set remote.shell"));
        }
        let cwd = request.cwd.as_deref().filter(|cwd| !matches!(*cwd, "" | "/")).map(str::to_owned);
        let directory = self.directory(scope, cwd).await?;
        let limit = request.timeout.map_or(USUAL_LIMIT, Duration::from_millis).min(LONGEST_LIMIT);
        let arguments = vec!["-c".into(), request.command.expose().as_str().into()];
        self.run("sh", arguments, directory, limit).await
    }

    async fn ripgrep(&self, scope: &Scope, request: &RunTool) -> Result<Value, Refusal> {
        let read = RIPGREP.read(request.args.expose().iter().map(|argument| argument.as_str()))?;
        let mut rest = read.rest.clone().into_iter();
        let listing = read.has(&["--files"]);
        let pattern = if listing || read.has(&["-e", "--regexp"]) { None } else { rest.next() };
        if !listing && pattern.is_none() && !read.has(&["-e", "--regexp"]) {
            return Err(Refusal::new(Code::BadParams, "rg was not run", "there is nothing to search for"));
        }
        self.tool(&RIPGREP, scope, request, read, pattern, rest.collect()).await
    }

    async fn difftastic(&self, scope: &Scope, request: &RunTool) -> Result<Value, Refusal> {
        let read = DIFFTASTIC.read(request.args.expose().iter().map(|argument| argument.as_str()))?;
        let paths = read.rest.clone();
        if paths.len() != 2 {
            return Err(Refusal::new(Code::BadParams, "difft was not run", "give two files to compare"));
        }
        self.tool(&DIFFTASTIC, scope, request, read, None, paths).await
    }

    /// Runs a search or a comparison of things below the directory.
    async fn tool(
        &self,
        tool: &Tool,
        scope: &Scope,
        request: &RunTool,
        read: Arguments,
        pattern: Option<String>,
        paths: Vec<String>,
    ) -> Result<Value, Refusal> {
        let (roots, denied, home) = (self.roots(scope), self.denied(), self.home.clone());
        let cwd = request.cwd.as_deref().filter(|cwd| !matches!(*cwd, "" | "/")).unwrap_or(".").to_owned();
        let looked = spawn_blocking(move || {
            let cwd = with_home(&cwd, &home);
            let files = containing(&roots, &denied, &cwd)?;
            let directory = files.directory(&cwd)?;
            // Without a path `rg` may wait for standard input; "here" is what is meant.
            let paths = if paths.is_empty() { vec![".".to_owned()] } else { paths };
            let here = Confined::open(&directory, &denied)?;
            let below = |path: &String| {
                // A path from the directory of the call, or a whole one; either way it is looked at below the root.
                let path = with_home(path, &home);
                if Path::new(&path).is_absolute() { files.ordinary(&path) } else { here.ordinary(&path) }
            };
            let paths = paths.iter().map(below).collect::<Result<Vec<PathBuf>, _>>()?;
            Ok((here.kept_out(), directory, paths))
        });
        let (kept_out, directory, paths) = in_file_time(looked).await?;
        let mut arguments: Vec<OsString> = tool.always.iter().map(|option| (*option).into()).collect();
        arguments.extend(read.options);
        if tool.name == RIPGREP.name {
            for path in kept_out {
                // The last one that fits wins, so these stand behind the caller's own.
                arguments.extend(["--glob".into(), format!("!/{}", escaped(&path)).into()]);
            }
        }
        arguments.push("--".into());
        arguments.extend(pattern.map(OsString::from));
        arguments.extend(paths.into_iter().map(PathBuf::into_os_string));
        self.run(tool.name, arguments, directory, LONGEST_LIMIT).await
    }

    /// The directory a command runs in.
    async fn directory(&self, scope: &Scope, cwd: Option<String>) -> Result<PathBuf, Refusal> {
        let Some(cwd) = cwd else {
            return Ok(match scope {
                Scope::Session(directory) => directory.clone(),
                Scope::Machine => self.home.clone(),
            });
        };
        let (roots, denied, home) = (self.roots(scope), self.denied(), self.home.clone());
        in_file_time(spawn_blocking(move || {
            let cwd = with_home(&cwd, &home);
            containing(&roots, &denied, &cwd)?.directory(&cwd)
        }))
        .await
    }

    async fn run(
        &self,
        program: &str,
        arguments: Vec<OsString>,
        directory: PathBuf,
        limit: Duration,
    ) -> Result<Value, Refusal> {
        // Waits for its turn within its own time: a storm of commands must not become a storm of processes.
        let turn = tokio::time::timeout(limit, self.0.errands.acquire()).await;
        let _turn =
            turn.map_err(|_| Refusal::new(Code::Busy, "the command was not run", "others are running"))?;
        let errand = Errand {
            program: program.into(),
            arguments,
            directory,
            env: plain_environment(),
            limit,
            most: ANSWER,
        };
        match run(errand).await {
            Ok(outcome) => json_of(&command_outcome(&outcome, limit)),
            Err(refusal) if refusal.code == Code::NotFound => Err(Refusal::new(
                Code::NotFound,
                format!("{program} is not installed on this machine"),
                "it is needed for this",
            )
            .fix(format!("install {program}"))),
            Err(refusal) => Err(refusal),
        }
    }
}

fn command_outcome(outcome: &Outcome, limit: Duration) -> CommandOutcome {
    let stderr = fitted(&outcome.stderr.bytes, outcome.stderr.left_out, STDERR);
    let stdout = fitted(&outcome.stdout.bytes, outcome.stdout.left_out, ANSWER - STDERR - 2_000);
    let (exit_code, error) = match outcome.exit {
        Some(Exit::Code(code)) => (i64::from(code), None),
        Some(Exit::Signal(signal)) => (128 + i64::from(signal), Some(format!("ended by signal {signal}"))),
        None => (-1, Some(format!("Command timed out after {} ms and was ended", limit.as_millis()))),
    };
    CommandOutcome {
        success: exit_code == 0,
        exit_code: Some(exit_code),
        stdout: Hidden::new(Text::cut(stdout)),
        stderr: Hidden::new(Text::cut(stderr)),
        error: error.map(Line::cut),
    }
}

/// The first of the directories in which a path lies.
fn containing(roots: &[PathBuf], denied: &[PathBuf], path: &str) -> Result<Confined, Refusal> {
    let mut refused = None;
    for root in roots {
        let tried = Confined::open(root, denied).and_then(|files| files.relative(path).map(|_| files));
        match tried {
            Ok(files) => return Ok(files),
            Err(refusal) => refused = Some(refusal),
        }
    }
    Err(refused.unwrap_or_else(|| {
        Refusal::new(Code::Forbidden, "Access denied", "this machine's owner allows no directory")
    }))
}

fn with_home(path: &str, home: &Path) -> String {
    let expanded = if path.starts_with('~') { expand(path, home) } else { None };
    expanded.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| path.to_owned())
}

/// A path as a glob that fits only it.
fn escaped(path: &Path) -> String {
    let mut out = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

async fn in_file_time<T>(work: tokio::task::JoinHandle<Result<T, Refusal>>) -> Result<T, Refusal> {
    let late = || {
        let reason = format!("the file system did not answer within {} s", FILES_WITHIN.as_secs());
        Refusal::new(Code::Timeout, "Files cannot be reached", reason)
    };
    let done = tokio::time::timeout(FILES_WITHIN, work).await.map_err(|_| late())?;
    done.unwrap_or_else(|e| Err(Refusal::new(Code::Internal, "Files cannot be reached", e.to_string())))
}
