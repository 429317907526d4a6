//! Arguments of the search and compare programs: only what keeps them in the directory, and keeps them from running
//! programs of the caller's choice (`rg --pre`).

use std::ffi::OsString;

use delight_proto::refusal::{Code, Refusal};

/// A program's options that are let through.
pub(super) struct Tool {
    /// The program.
    pub(super) name: &'static str,
    /// Given before everything else.
    pub(super) always: &'static [&'static str],
    /// Options without a value; single letters may be joined.
    plain: &'static [&'static str],
    /// Options with a value.
    valued: &'static [&'static str],
    /// Options that are taken and not passed on: what they ask for leads out of the directory.
    dropped: &'static [&'static str],
}

/// `rg`.
pub(super) const RIPGREP: Tool = Tool {
    name: "rg",
    always: &["--no-config", "--no-follow"],
    plain: &[
        "-i",
        "--ignore-case",
        "-S",
        "--smart-case",
        "-s",
        "--case-sensitive",
        "-w",
        "--word-regexp",
        "-x",
        "--line-regexp",
        "-F",
        "--fixed-strings",
        "-P",
        "--pcre2",
        "-U",
        "--multiline",
        "--multiline-dotall",
        "-v",
        "--invert-match",
        "-l",
        "--files-with-matches",
        "--files-without-match",
        "-c",
        "--count",
        "--count-matches",
        "-n",
        "--line-number",
        "-N",
        "--no-line-number",
        "--column",
        "--no-column",
        "-H",
        "--with-filename",
        "-I",
        "--no-filename",
        "--json",
        "--heading",
        "--no-heading",
        "--vimgrep",
        "-.",
        "--hidden",
        "--no-ignore",
        "--no-ignore-vcs",
        "-u",
        "--unrestricted",
        "-o",
        "--only-matching",
        "-0",
        "--null",
        "--trim",
        "--files",
        "--stats",
        "--no-messages",
        "-a",
        "--text",
        "--crlf",
        "--passthru",
        "-p",
        "--pretty",
    ],
    valued: &[
        "-e",
        "--regexp",
        "-g",
        "--glob",
        "--iglob",
        "-t",
        "--type",
        "-T",
        "--type-not",
        "-m",
        "--max-count",
        "-A",
        "--after-context",
        "-B",
        "--before-context",
        "-C",
        "--context",
        "-d",
        "--max-depth",
        "--max-filesize",
        "-M",
        "--max-columns",
        "--color",
        "--colors",
        "-r",
        "--replace",
        "--sort",
        "--sortr",
        "-j",
        "--threads",
        "-E",
        "--encoding",
        "--context-separator",
    ],
    dropped: &["-L", "--follow"],
};

/// `difft`.
pub(super) const DIFFTASTIC: Tool = Tool {
    name: "difft",
    always: &[],
    plain: &["--skip-unchanged", "--ignore-comments", "--strip-cr"],
    valued: &[
        "--color",
        "--display",
        "--context",
        "--width",
        "--tab-width",
        "--background",
        "--syntax-highlight",
        "--language",
        "--override",
    ],
    dropped: &[],
};

/// Arguments that were let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Options with their values, as they are passed on.
    pub(super) options: Vec<OsString>,
    /// Everything else, in order.
    pub(super) rest: Vec<String>,
}

impl Arguments {
    /// Whether one of these options is there.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|option| names.iter().any(|name| option == name))
    }
}

impl Tool {
    /// Reads arguments.
    ///
    /// # Errors
    /// `forbidden` with the option that is not let through.
    pub(super) fn read<'a>(&self, arguments: impl Iterator<Item = &'a str>) -> Result<Arguments, Refusal> {
        let mut read = Arguments { options: Vec::new(), rest: Vec::new() };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            if argument.contains('\0') {
                return Err(self.refuse("an argument with a NUL character"));
            }
            if argument == "--" {
                read.rest.extend(arguments.map(str::to_owned));
                break;
            }
            if !argument.starts_with('-') || argument == "-" {
                read.rest.push(argument.to_owned());
            } else if let Some((name, value)) =
                argument.split_once('=').filter(|_| argument.starts_with("--"))
            {
                if !self.valued.contains(&name) {
                    return Err(self.refuse(name));
                }
                read.options.extend([name.into(), value.into()]);
            } else if argument.starts_with("--") || argument.chars().count() == 2 {
                self.one(argument, &mut arguments, &mut read)?;
            } else {
                self.joined(argument, &mut arguments, &mut read)?;
            }
        }
        Ok(read)
    }

    fn one<'a>(
        &self,
        option: &str,
        more: &mut impl Iterator<Item = &'a str>,
        read: &mut Arguments,
    ) -> Result<(), Refusal> {
        if self.plain.contains(&option) {
            read.options.push(option.into());
        } else if self.valued.contains(&option) {
            let value = more.next().filter(|value| !value.contains('\0'));
            let value = value.ok_or_else(|| self.refuse(&format!("{option} without a value")))?;
            read.options.extend([option.into(), value.into()]);
        } else if !self.dropped.contains(&option) {
            return Err(self.refuse(option));
        }
        Ok(())
    }

    /// `-in` is `-i -n`; `-A3` is `-A 3`.
    fn joined<'a>(
        &self,
        argument: &str,
        more: &mut impl Iterator<Item = &'a str>,
        read: &mut Arguments,
    ) -> Result<(), Refusal> {
        for (at, letter) in argument.char_indices().skip(1) {
            let option = format!("-{letter}");
            let value = &argument[at + letter.len_utf8()..];
            if self.valued.contains(&option.as_str()) && !value.is_empty() {
                read.options.extend([option.into(), value.strip_prefix('=').unwrap_or(value).into()]);
                return Ok(());
            }
            self.one(&option, more, read)?;
        }
        Ok(())
    }

    fn refuse(&self, what: &str) -> Refusal {
        let what: String = what.chars().take(80).collect();
        Refusal::new(
            Code::Forbidden,
            format!("{} was not run", self.name),
            format!("{what} is not let through"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rg(arguments: &[&str]) -> Result<Arguments, Refusal> {
        RIPGREP.read(arguments.iter().copied())
    }

    #[test]
    fn what_searches_is_let_through_in_every_spelling() {
        let read =
            rg(&["-in", "-A3", "--glob=*.rs", "-g", "!x", "--follow", "word", "dir", "--", "-odd"]).unwrap();
        assert_eq!(read.options, ["-i", "-n", "-A", "3", "--glob", "*.rs", "-g", "!x"]);
        assert_eq!(read.rest, ["word", "dir", "-odd"]);
        assert!(read.has(&["-n"]) && !read.has(&["--follow"]));
    }

    #[test]
    fn what_runs_programs_or_reads_other_files_is_not() {
        for bad in [
            &["--pre", "sh"][..],
            &["--pre=sh"],
            &["-f", "/etc/passwd"],
            &["--file=/etc/passwd"],
            &["-nf/etc/passwd"],
            &["--ignore-file", "/x"],
            &["-z"],
            &["--search-zip"],
            &["--hostname-bin=sh"],
            &["--debug"],
            &["--unknown"],
            &["-e"],
            &["a\0b"],
            &["-iz"],
        ] {
            assert_eq!(rg(bad).unwrap_err().code, Code::Forbidden, "{bad:?}");
        }
        assert!(DIFFTASTIC.read(["--color", "never", "a", "b"].into_iter()).is_ok());
        assert!(DIFFTASTIC.read(["--override-binary=x"].into_iter()).is_err());
    }

    /// `-L` beside others is dropped like `-L` alone, and takes nothing with it.
    #[test]
    fn following_links_is_dropped_and_nothing_else() {
        assert_eq!(rg(&["-iLn"]).unwrap().options, ["-i", "-n"]);
    }
}
