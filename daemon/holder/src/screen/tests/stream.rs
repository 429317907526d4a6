//! Output that a terminal may get: words, sequences whole and broken, floods.

use delight_proto::session::Size;
use proptest::prelude::*;

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\t",
        "\x08",
        "\x1b[m",
        "\x1b[0m",
        "\x1b[1;31m",
        "\x1b[44m",
        "\x1b[7m",
        "\x1b[38;5;200m",
        "\x1b[48;2;1;2;3m",
        "\x1b[4:3m",
        "\x1b[58:5:9m",
        "\x1b[0;32m",
        "\x1b[;33m",
        "\x1b[90m",
        "\x1b[K",
        "\x1b[1K",
        "\x1b[2J",
        "\x1b[J",
        "\x1b[A",
        "\x1b[3A",
        "\x1b[2B",
        "\x1b[5C",
        "\x1b[2D",
        "\x1b[H",
        "\x1b[3;7H",
        "\x1b[2;5r",
        "\x1b[r",
        "\x1b[3;3r",
        "\x1b[?6h",
        "\x1b[?6l",
        "\x1b[?7l",
        "\x1b[?7h",
        "\x1b[4h",
        "\x1b[4l",
        "\x1b[20h",
        "\x1b[20l",
        "\x1b7",
        "\x1b8",
        "\x1bM",
        "\x1bD",
        "\x1bE",
        "\x1bH",
        "\x1b[g",
        "\x1b[3g",
        "\x1b[?1049h",
        "\x1b[?1049l",
        "\x1b[?1047h",
        "\x1b[?1047l",
        "\x1b[?25l",
        "\x1b[?25h",
        "\x1b[?1h",
        "\x1b=",
        "\x1b>",
        "\x1b[?1000h",
        "\x1b[?1002h",
        "\x1b[?1006h",
        "\x1b[?1003l",
        "\x1b[?2004h",
        "\x1b[?2004l",
        "\x1b[?1004h",
        "\x1b[?1007l",
        "\x1b[?9h",
        "\x1b[?2026h",
        "\x1b[?2026l",
        "\x1b[>5u",
        "\x1b[<u",
        "\x1b[=3u",
        "\x1b[>4;2m",
        "\x1b[5 q",
        "\x1b[0 q",
        "\x1b(0",
        "\x1b(B",
        "\x1b)0",
        "\x0e",
        "\x0f",
        "\x1b[3b",
        "\x1b[2L",
        "\x1b[M",
        "\x1b[2@",
        "\x1b[2P",
        "\x1b[3X",
        "\x1b[2S",
        "\x1b[T",
        "\x1b[2I",
        "\x1b[Z",
        "\x1b]2;a title\x07",
        "\x1b]0;other\x1b\\",
        "\x1b[22;0t",
        "\x1b[23;0t",
        "\x1b]4;3;rgb:11/22/33\x1b\\",
        "\x1b]11;#102030\x07",
        "\x1b]8;id=x;http://e/\x1b\\",
        "\x1b]8;;\x1b\\",
        "\x1b[!p",
        "\x1bc",
        "\x1b#8",
        "\x1b[c",
        "\x1b[6n",
        "\x1b[>q",
        "\x1bP$qm\x1b\\",
        "\x1b]10;?\x07",
        "\x1b",
        "\x1b[",
        "\x1b[3",
        "\x1b]",
        "\x1bP",
        "\x18",
        "\x07",
        "\u{4e2d}",
        "\u{6587}\u{5b57}",
        "\u{1f600}",
        "e\u{301}",
        "\u{301}",
        "\u{e9}",
        "\u{200d}",
        "x",
    ]);
    prop_oneof![
        4 => "[a-zA-Z0-9 ,.]{1,30}".prop_map(String::into_bytes),
        6 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        2 => flood(),
    ]
}

/// Plain lines enough to push everything off the screen.
fn flood() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        5 => "[a-z ]{0,25}".prop_map(|text| text + "\r\n"),
        1 => "[a-z]{1,9}".prop_map(|text| format!("\x1b[1;36m{text}\x1b[0m\r\n")),
        1 => "[a-z]{1,9}".prop_map(|text| format!("\x1b[45m{text}\u{4e2d}\r\n")),
        1 => "[a-z]{1,9}".prop_map(|text| text + "\n"),
        1 => Just("\r\n".to_owned()),
    ];
    prop::collection::vec(line, 1..60).prop_map(|lines| lines.concat().into_bytes())
}

pub(super) fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, Size)> {
    let size = (1u16..20, 1u16..9).prop_map(|(cols, rows)| Size { cols, rows });
    let bytes = prop::collection::vec(fragment(), 1..60).prop_map(|parts| parts.concat());
    (bytes, prop::collection::vec(1usize..300, 1..20), size)
}

/// Repeating the last character means nothing when other than characters came before it (ECMA-48, 8.3.103), and drawing
/// is that: so there is one to repeat.
pub(super) fn with_defined_repeats(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.windows(4).any(|window| window == b"\x1b[3b") {
        bytes.insert(0, b'x');
    }
    bytes
}

/// The same bytes, cut at other places.
pub(super) fn pieces<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (piece, later) = rest.split_at_checked(*sizes.next()?).unwrap_or((rest, &[]));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}
