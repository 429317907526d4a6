//! The file editor's protocol: one JSON document a line.
//!
//! ```text
//! → {"id":1,"method":"list","params":{"path":"src"}}       ← {"id":1,"result":{"entries":[{"name":"main.rs","type":"file",…}]}}
//! → {"id":2,"method":"read","params":{"path":"a.txt"}}     ← {"id":2,"result":{"content":"<base64>"}}
//! → {"id":3,"method":"write","params":{"path":"a.txt","content":"<base64>","expectedHash":"<sha256>"}}
//!                                                          ← {"id":3,"result":{"hash":"<sha256>"}}
//! → {"id":4,"method":"watch","params":{"path":"."}}        ← {"id":4,"result":{}}, then {"method":"changed","params":{"path":".","name":"a.txt"}}
//! → {"id":5,"method":"unwatch","params":{"path":"."}}      ← {"id":5,"result":{}}
//! ```
//! `expectedHash`: absent: whatever is there; `null`: nothing may be there; a SHA-256 in hex: exactly that content. An
//! error is `{"id":…,"error":{a refusal}}`. Paths lead below the root and nowhere else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::rpc::ExpectedHash;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;
use serde_json::{Value, json};

use super::watches::Watches;
use crate::confined::Confined;

/// Bytes of a file that is read or written: larger ones are not edited by hand.
const FILE: usize = 4 << 20;
/// Bytes of a listing.
const LISTING: usize = 1 << 20;
/// Bytes of a request: a file in base64, and its path.
const LINE: usize = FILE / 3 * 4 + (64 << 10);

/// A request.
#[derive(Debug, Deserialize)]
struct Asked {
    id: u64,
    #[serde(flatten)]
    what: What,
}

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "lowercase")]
enum What {
    List(Named),
    Read(Named),
    Write(Written),
    Watch(Named),
    Unwatch(Named),
}

#[derive(Debug, Deserialize)]
struct Named {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    path: String,
    content: String,
    #[serde(default)]
    expected_hash: ExpectedHash,
}

/// Serves the files below a directory on the standard streams, until its input ends.
///
/// # Errors
/// The directory cannot be used, or nobody reads the answers.
pub(crate) fn serve(root: &Path, private: &[PathBuf]) -> Result<(), Refusal> {
    let io = |e: io::Error| Refusal::new(Code::Internal, "the file editor ends", e.to_string());
    let root = std::path::absolute(root).map_err(io)?;
    let editor = Editor { files: Confined::open(&root, private)?, watches: None };
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(io)?;
    editor.run(input, &mut io::stdout()).map_err(io)
}

struct Editor {
    files: Confined,
    /// Made with the first watch: most never want one.
    watches: Option<Watches>,
}

impl Editor {
    fn run(mut self, input: OwnedFd, output: &mut dyn Write) -> io::Result<()> {
        let mut input = File::from(input);
        let (mut line, mut too_long) = (Vec::new(), false);
        let mut piece = [0; 16 << 10];
        loop {
            let asked = self.wait(&input)?;
            for (path, name) in self.watches.as_mut().map(Watches::changes).unwrap_or_default() {
                say(output, &json!({"method": "changed", "params": {"path": path, "name": name}}))?;
            }
            if !asked {
                continue;
            }
            let read = input.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            for byte in &piece[..read] {
                if *byte != b'\n' {
                    too_long |= line.len() >= LINE;
                    if !too_long {
                        line.push(*byte);
                    }
                    continue;
                }
                if too_long {
                    let reason = format!("the line is longer than {LINE} bytes");
                    let refusal = Refusal::new(Code::TooLarge, "the request is not served", reason);
                    say(output, &json!({"id": null, "error": refusal}))?;
                } else if !line.trim_ascii().is_empty() {
                    say(output, &self.answer(&line))?;
                }
                line.clear();
                too_long = false;
            }
        }
    }

    /// Waits for a request or a change; says whether it is (also) a request.
    fn wait(&self, input: &File) -> io::Result<bool> {
        let mut places = vec![PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        let watches = self.watches.as_ref();
        let told = watches.and_then(Watches::descriptor);
        places.extend(told.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)));
        let every = watches.and_then(Watches::every).and_then(|every| PollTimeout::try_from(every).ok());
        match poll(&mut places, every.unwrap_or(PollTimeout::NONE)) {
            Ok(_) => Ok(places[0].revents().is_some_and(|events| !events.is_empty())),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn answer(&mut self, line: &[u8]) -> Value {
        let asked: Asked = match serde_json::from_slice(line) {
            Ok(asked) => asked,
            Err(e) => {
                let id = serde_json::from_slice::<Value>(line).ok().and_then(|value| value["id"].as_u64());
                let refusal = Refusal::new(Code::BadRequest, "the request is not understood", e.to_string());
                return json!({"id": id, "error": refusal});
            }
        };
        let id = asked.id;
        match self.serve(asked.what) {
            Ok(result) => json!({"id": id, "result": result}),
            Err(refusal) => json!({"id": id, "error": refusal}),
        }
    }

    fn serve(&mut self, what: What) -> Result<Value, Refusal> {
        match what {
            What::List(Named { path }) => Ok(json!({"entries": self.files.list(&path, LISTING)?})),
            What::Read(Named { path }) => {
                Ok(json!({"content": BASE64_STANDARD.encode(self.files.read(&path, FILE)?)}))
            }
            What::Write(Written { path, content, expected_hash }) => {
                let content = BASE64_STANDARD
                    .decode(content)
                    .map_err(|e| Refusal::new(Code::BadParams, "the file was not written", e.to_string()))?;
                if content.len() > FILE {
                    let reason = format!("it is larger than {FILE} bytes");
                    return Err(Refusal::new(Code::TooLarge, "the file was not written", reason));
                }
                Ok(json!({"hash": self.files.write(&path, &content, &expected_hash)?}))
            }
            What::Watch(Named { path }) => {
                let directory = self.files.open_directory(&path)?;
                let watches = match self.watches.take() {
                    Some(watches) => watches,
                    None => Watches::new()?,
                };
                self.watches.insert(watches).add(&directory, &path)?;
                Ok(json!({}))
            }
            What::Unwatch(Named { path }) => {
                if let Some(watches) = &mut self.watches {
                    watches.remove(&path);
                }
                Ok(json!({}))
            }
        }
    }
}

fn say(output: &mut dyn Write, document: &Value) -> io::Result<()> {
    output.write_all(format!("{document}\n").as_bytes())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;

    /// A person far away, talking to an editor of a directory.
    struct Person {
        out: UnixStream,
        answers: BufReader<UnixStream>,
        base: tempfile::TempDir,
    }

    impl Person {
        fn new() -> Self {
            let base = tempfile::tempdir().unwrap();
            fs::create_dir(base.path().join("root")).unwrap();
            fs::write(base.path().join("secret"), "x").unwrap();
            let (out, input) = UnixStream::pair().unwrap();
            let (mut output, answers) = UnixStream::pair().unwrap();
            answers.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
            let files = Confined::open(&base.path().join("root"), &[]).unwrap();
            let editor = Editor { files, watches: None };
            std::thread::spawn(move || editor.run(input.into(), &mut output));
            Self { out, answers: BufReader::new(answers), base }
        }

        fn hears(&mut self) -> Value {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            serde_json::from_str(&line).unwrap()
        }

        #[allow(clippy::needless_pass_by_value)] // Every caller makes its value for this.
        fn asks(&mut self, method: &str, params: Value) -> Value {
            let line = json!({"id": 7, "method": method, "params": params});
            self.out.write_all(format!("{line}\n").as_bytes()).unwrap();
            let mut answer = self.hears();
            assert_eq!(answer["id"], 7);
            match answer.get("result") {
                Some(_) => answer["result"].take(),
                None => answer["error"]["code"].take(),
            }
        }
    }

    #[test]
    fn files_are_written_read_and_listed() {
        let mut person = Person::new();
        let content = BASE64_STANDARD.encode("hi\n");
        let written =
            person.asks("write", json!({"path": "a.txt", "content": content, "expectedHash": null}));
        let hash = written["hash"].as_str().unwrap().to_owned();
        assert_eq!(person.asks("read", json!({"path": "a.txt"}))["content"], content);
        assert_eq!(person.asks("list", json!({"path": "."}))["entries"][0]["name"], "a.txt");
        let again = |hash: Value| json!({"path": "a.txt", "content": content, "expectedHash": hash});
        assert_eq!(person.asks("write", again(Value::Null)), "conflict");
        assert_eq!(person.asks("write", again("00".into())), "conflict");
        assert_eq!(person.asks("write", again(hash.clone().into()))["hash"], hash);
        assert_eq!(person.asks("write", json!({"path": "a.txt", "content": content}))["hash"], hash);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let mut person = Person::new();
        std::os::unix::fs::symlink(person.base.path(), person.base.path().join("root/out")).unwrap();
        for path in ["../secret", "/etc/passwd", "out/secret", "a/../../secret"] {
            assert_eq!(person.asks("read", json!({"path": path})), "forbidden", "{path}");
            assert_eq!(person.asks("write", json!({"path": path, "content": ""})), "forbidden", "{path}");
        }
        for path in ["..", "out"] {
            assert_eq!(person.asks("watch", json!({"path": path})), "forbidden", "{path}");
            assert_eq!(person.asks("list", json!({"path": path})), "forbidden", "{path}");
        }
    }

    #[test]
    fn changes_are_told_until_nobody_wants_them() {
        let mut person = Person::new();
        assert_eq!(person.asks("watch", json!({"path": "."})), json!({}));
        fs::write(person.base.path().join("root/new"), "x").unwrap();
        let change = person.hears();
        assert_eq!(change, json!({"method": "changed", "params": {"path": ".", "name": "new"}}));
        // The unwatch's answer comes behind whatever was told before it.
        let line = json!({"id": 9, "method": "unwatch", "params": {"path": "."}});
        person.out.write_all(format!("{line}\n").as_bytes()).unwrap();
        while person.hears()["id"] != 9 {}
        fs::write(person.base.path().join("root/newer"), "x").unwrap();
        assert!(person.asks("read", json!({"path": "newer"}))["content"].is_string());
    }

    #[test]
    fn rubbish_is_answered_and_the_next_request_served() {
        let mut person = Person::new();
        for line in ["nonsense", "{\"id\":1}", "{\"id\":2,\"method\":\"rm\",\"params\":{\"path\":\"x\"}}"] {
            person.out.write_all(format!("{line}\n").as_bytes()).unwrap();
            assert_eq!(person.hears()["error"]["code"], "bad-request", "{line}");
        }
        person.out.write_all(&vec![b'x'; LINE + 1]).unwrap();
        person.out.write_all(b"\n").unwrap();
        assert_eq!(person.hears()["error"]["code"], "too-large");
        assert_eq!(person.asks("read", json!({"path": "none"})), "not-found");
    }
}
