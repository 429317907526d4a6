//! systemd's user manager.

use std::fs;
use std::path::{Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};
use nix::unistd::{User, getuid};

use super::{Manager, Plan, State, must, remove, run, words, write};
use crate::failure::Failure;

/// The unit as it lies in the repository.
const TEMPLATE: &str = include_str!("../../../systemd/delightd.service");

const UNIT: &str = "delightd.service";

pub(super) struct Systemd {
    file: PathBuf,
    /// What enabling makes, so that it can be removed even where no manager answers.
    link: PathBuf,
}

impl Systemd {
    /// The manager whose configuration lies under `config`.
    pub(super) fn new(config: &Path) -> Self {
        let dir = config.join("systemd/user");
        Self { file: dir.join(UNIT), link: dir.join("default.target.wants").join(UNIT) }
    }

    fn says(&self, question: &str, answer: &str) -> bool {
        run("systemctl", &["--user", question, UNIT])
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == answer)
    }
}

/// Why no user manager answers; `None` when one does.
fn unreachable() -> Option<String> {
    match run("systemctl", &["--user", "show", "--property=Version"]) {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(words(&output)),
        Err(reason) => Some(reason),
    }
}

/// Whether the user's manager goes on after the last logout.
fn lingers() -> Option<bool> {
    let user = User::from_uid(getuid()).ok().flatten()?.name;
    if Path::new("/var/lib/systemd/linger").join(&user).exists() {
        return Some(true);
    }
    let output = run("loginctl", &["show-user", &user, "--property=Linger", "--value"]).ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        // logind knows nobody who is not logged in; then the file above decides.
        _ => Some(false),
    }
}

impl Manager for Systemd {
    fn state(&self) -> State {
        let unreachable = unreachable();
        State {
            manager: "systemd",
            installed: self.file.exists(),
            file: self.file.clone(),
            enabled: fs::symlink_metadata(&self.link).is_ok() || self.says("is-enabled", "enabled"),
            active: self.says("is-active", "active"),
            // Where systemd is not at work, the question has no answer.
            linger: if unreachable.is_none() { lingers() } else { None },
            unreachable,
        }
    }

    fn install(&self, plan: &Plan) -> Result<(), Failure> {
        if let Some(reason) = unreachable() {
            return Err(Refusal::new(Code::WrongState, "no systemd user manager answers", reason)
                .fix(
                    "in a container or a CI job: delightctl up starts the daemon without one; after su or sudo: log in \
                     as the user (machinectl shell USER@) so that XDG_RUNTIME_DIR is set",
                )
                .into());
        }
        write(&self.file, &unit(plan)?)?;
        must("systemctl", &["--user", "daemon-reload"])
    }

    fn start(&self) -> Result<(), Failure> {
        must("systemctl", &["--user", "enable", UNIT])?;
        // The unit's type is notify: this returns when the daemon answers.
        must("systemctl", &["--user", "restart", UNIT]).map_err(|failure| match failure {
            Failure::Refused(refusal) => {
                refusal.fix(format!("journalctl --user -u {UNIT} tells more")).into()
            }
            other => other,
        })
    }

    fn uninstall(&self) -> Result<(), Failure> {
        let reachable = unreachable().is_none();
        if reachable && self.file.exists() {
            must("systemctl", &["--user", "disable", "--now", UNIT])?;
        }
        remove(&self.link)?;
        remove(&self.file)?;
        if reachable {
            must("systemctl", &["--user", "daemon-reload"])?;
            // Forgets a failure it may have ended with; that there is none to forget is no error.
            let _ = run("systemctl", &["--user", "reset-failed", UNIT]);
        }
        Ok(())
    }
}

/// The unit's text for a plan.
fn unit(plan: &Plan) -> Result<String, Refusal> {
    let program = quoted(plan.program.to_str().unwrap_or_default(), "the daemon's path")?.replace('$', "$$");
    let mut environment = String::new();
    for (name, value) in &plan.environment {
        environment += &format!("Environment={}\n", quoted(&format!("{name}={value}"), name)?);
    }
    let mut text = String::new();
    for line in TEMPLATE.lines() {
        text += &line.replace("@DELIGHTD@", &program);
        text.push('\n');
        if line.starts_with("ExecStart=") {
            text += &environment;
        }
    }
    Ok(text)
}

/// A word as systemd reads it: in quotes, `%` doubled.
fn quoted(word: &str, what: &str) -> Result<String, Refusal> {
    if word.is_empty() || word.contains(char::is_control) {
        return Err(Refusal::new(
            Code::BadParams,
            "the service's file cannot be written",
            format!("{what} holds characters a unit cannot name"),
        )
        .fix("install delight under another path"));
    }
    Ok(format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(program: &str) -> Plan {
        Plan {
            program: program.into(),
            log: "/log".into(),
            environment: vec![("DELIGHT_STATE_DIR", "/s p".to_owned())],
        }
    }

    #[test]
    fn unit_names_the_program_and_the_places() {
        let text = unit(&plan("/opt/de light/$x%n/delightd")).unwrap();
        assert!(text.contains("ExecStart=\"/opt/de light/$$x%%n/delightd\" run\n"), "{text}");
        assert!(text.contains("Environment=\"DELIGHT_STATE_DIR=/s p\"\n"), "{text}");
        assert!(!text.lines().any(|l| !l.starts_with('#') && l.contains('@')), "{text}");
    }

    #[test]
    fn a_path_with_a_line_end_is_refused() {
        assert!(unit(&plan("/opt/a\nExecStart=/bin/evil")).is_err());
    }
}
