//! The methods machines and sessions share: files, directories, commands.
//!
//! These shapes say what is asked, not what is allowed: confinement and policy are the daemon's.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sync::bounded::{Hidden, Line, List, Name, Path, Text};
use crate::sync::bounds;

/// A text of a call that may hold the owner's data. Never shown.
type Content = Hidden<Text<{ bounds::CALL_TEXT }>>;

macro_rules! file_requests {
    ($($(#[$doc:meta])* $variant:ident($shape:ty) = $name:literal,)*) => {
        /// A request machines and sessions share.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum FileRequest {
            $($(#[$doc])* $variant($shape),)*
        }

        impl FileRequest {
            /// The names of the methods.
            pub const METHODS: &'static [&'static str] = &[$($name),*];

            /// The method's name.
            #[must_use]
            pub fn method(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Reads a request.
            ///
            /// # Errors
            /// [`crate::refusal::Code::UnknownMethod`] or [`crate::refusal::Code::BadParams`].
            pub fn read(method: &str, params: &super::Params) -> Result<Self, crate::refusal::Refusal> {
                match method {
                    $($name => params.shape($name).map(Self::$variant),)*
                    _ => Err(crate::refusal::Refusal::new(
                        crate::refusal::Code::UnknownMethod,
                        "a call",
                        "no such method here",
                    )),
                }
            }

            /// The parameters as they are sent.
            ///
            /// # Errors
            /// Only if a shape here could not be JSON, which none is.
            pub fn params(&self) -> Result<serde_json::Value, crate::refusal::Refusal> {
                match self { $(Self::$variant(shape) => serde_json::to_value(shape),)* }
                    .map_err(|error| crate::sync::read::refuse("parameters of ours", &error))
            }
        }
    };
}

file_requests! {
    /// Runs a command by the shell. Answered with [`CommandOutcome`].
    Bash(RunBash) = "bash",
    /// Reads a file. Answered with [`FileContent`].
    ReadFile(PathOnly) = "readFile",
    /// Writes a file. Answered with [`FileWritten`].
    WriteFile(WriteFile) = "writeFile",
    /// Lists a directory. Answered with [`DirectoryListing`].
    ListDirectory(PathOnly) = "listDirectory",
    /// Lists a directory and what is below. Answered with [`DirectoryTree`].
    GetDirectoryTree(GetTree) = "getDirectoryTree",
    /// Searches. Answered with [`CommandOutcome`].
    Ripgrep(RunTool) = "ripgrep",
    /// Compares. Answered with [`CommandOutcome`].
    Difftastic(RunTool) = "difftastic",
}

/// See [`FileRequest::Bash`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBash {
    /// The command line.
    pub command: Content,
    /// Where; `/` from Happy's app means "the usual place".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Path>,
    /// Milliseconds it may take; 30,000 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// See [`FileRequest::ReadFile`] and [`FileRequest::ListDirectory`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathOnly {
    /// The path.
    pub path: Path,
}

/// See [`FileRequest::WriteFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteFile {
    /// The path.
    pub path: Path,
    /// The new content, base64.
    pub content: Content,
    /// What must be there before.
    #[serde(default, skip_serializing_if = "ExpectedHash::is_any")]
    pub expected_hash: ExpectedHash,
}

/// What must be there before a file is written. On the wire: absent, `null`, or the SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ExpectedHash {
    /// Anything, or nothing.
    #[default]
    Any,
    /// Nothing: the file must be new.
    Absent,
    /// A file with this SHA-256 (hex, as the caller wrote it).
    Is(Name),
}

impl ExpectedHash {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

impl Serialize for ExpectedHash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any | Self::Absent => s.serialize_none(),
            Self::Is(hash) => hash.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for ExpectedHash {
    /// Called only when the field is there.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Option::<Name>::deserialize(d)?.map_or(Self::Absent, Self::Is))
    }
}

/// See [`FileRequest::GetDirectoryTree`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetTree {
    /// The path.
    pub path: Path,
    /// Levels below it.
    #[serde(default)]
    pub max_depth: u32,
}

/// See [`FileRequest::Ripgrep`] and [`FileRequest::Difftastic`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTool {
    /// Its arguments.
    pub args: Hidden<List<Text<{ bounds::CALL_TEXT }>, { bounds::CALL_ENTRIES }>>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Path>,
}

/// What a command did. Its own failure is no failure of the method: read this shape before asking
/// [`super::answer::failure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandOutcome {
    /// Whether it ran and exited with 0.
    pub success: bool,
    /// Its exit status; −1 when it could not be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// What it wrote.
    #[serde(default)]
    pub stdout: Content,
    /// What it complained.
    #[serde(default)]
    pub stderr: Content,
    /// Why it could not be run, or was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Line>,
}

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// Base64.
    pub content: Content,
}

/// A file was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileWritten {
    /// SHA-256 of the new content, hex.
    pub hash: Name,
}

/// A directory's entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryListing {
    /// The entries. Bounded by the packet they come in.
    pub entries: Vec<DirectoryEntry>,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Something else: a link, a socket, a device.
    #[serde(other)]
    Other,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: Path,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
}

/// A directory and what is below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryTree {
    /// The directory asked for.
    pub tree: TreeNode,
}

/// A node of a [`DirectoryTree`]. Its depth is bounded by the JSON reader (128 levels).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeNode {
    /// The entry.
    #[serde(flatten)]
    pub entry: DirectoryEntry,
    /// Its path.
    pub path: Path,
    /// What is in it, for a directory within the depth asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<TreeNode>>,
}
