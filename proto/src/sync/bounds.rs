//! How large anything on the sync wire may be, and why.

/// Bytes of one socket packet. Engine.IO's default `maxPayload`: a server drops the connection at the first byte more, so
/// nothing larger may be sent.
pub const PACKET: usize = 1_000_000;

/// Bytes of a sealed call answer in base64. The server wraps it into an acknowledgement, the ids and quotes around it are
/// small, but real servers have dropped answers from about 750 kB on; larger answers must be cut or paged.
pub const RPC_ANSWER: usize = 700_000;

/// Bytes of the base64 of a sealed value: 16 MiB of plaintext ([`PLAINTEXT`]) plus what sealing adds. Larger than a packet
/// since rows also come by HTTP.
pub const SEALED: usize = PLAINTEXT / 3 * 4 + 128;

/// Bytes of an opened value: messages with pictures in them are the largest that exist.
pub const PLAINTEXT: usize = 16 << 20;

/// Bytes of an HTTP answer: a page of messages, few of which are ever large. More is a hostile server.
pub const HTTP_ANSWER: usize = 64 << 20;

/// Bytes of an opened metadata, agent state or daemon state. They are sent again whole at every change, inside one packet.
pub const STATE: usize = 512 << 10;

/// Bytes of an id a server or peer chose: cuids have 25, UUIDs 36.
pub const ID: usize = 256;

/// Bytes of a kind, name or mode.
pub const NAME: usize = 256;

/// Bytes of a call's method: two ids' worth.
pub const METHOD: usize = ID + 1 + NAME;

/// Bytes of one line meant for people, or of an error.
pub const LINE: usize = 8_192;

/// Bytes of a path (`PATH_MAX`).
pub const PATH: usize = 4_096;

/// Bytes of a token: JWTs have some hundred.
pub const TOKEN: usize = 8_192;

/// Bytes of a key, signature, challenge or sealed key in base64: the largest (a wrapped data key) has 140.
pub const KEY: usize = 512;

/// Bytes of a command, of a file's content in base64, of one argument list together: they come inside one packet.
pub const CALL_TEXT: usize = PACKET;

/// Entries of a map or list inside a call: environment, allowed tools, arguments.
pub const CALL_ENTRIES: usize = 1_024;

/// Messages in one write: the server's own limit.
pub const POST_MESSAGES: usize = 100;

/// Messages in one page: the server's own limit.
pub const PAGE_MESSAGES: usize = 500;

/// Rows of a session list. Accounts with 800 sessions exist.
pub const SESSIONS: usize = 20_000;

/// Rows of a machine list.
pub const MACHINES: usize = 2_000;

/// Counters in one usage report.
pub const COUNTERS: usize = 64;

/// Nesting of a legacy `message` event before its cipher must have been found. Three levels exist.
pub const LEGACY_DEPTH: usize = 4;
