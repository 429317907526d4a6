//! macOS's launchd.

use std::path::{Path, PathBuf};

use super::{Manager, Plan, State, must, remove, run, words, write};
use crate::failure::Failure;

/// The agent as it lies in the repository.
const TEMPLATE: &str = include_str!("../../../launchd/dev.delight.delightd.plist");

const LABEL: &str = "dev.delight.delightd";

pub(super) struct Launchd {
    file: PathBuf,
    /// The user's own domain.
    domain: String,
}

impl Launchd {
    /// The agents of the user with this home directory.
    pub(super) fn new(home: &Path) -> Self {
        Self {
            file: home.join("Library/LaunchAgents").join(format!("{LABEL}.plist")),
            domain: format!("gui/{}", nix::unistd::getuid()),
        }
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain)
    }
}

impl Manager for Launchd {
    fn state(&self) -> State {
        let installed = self.file.exists();
        let (active, unreachable) = match run("launchctl", &["print", &self.target()]) {
            Ok(output) if output.status.success() => {
                (String::from_utf8_lossy(&output.stdout).contains("state = running"), None)
            }
            // 113: it knows no such service.
            Ok(output) if output.status.code() == Some(113) => (false, None),
            Ok(output) => (false, Some(words(&output))),
            Err(reason) => (false, Some(reason)),
        };
        State {
            manager: "launchd",
            file: self.file.clone(),
            installed,
            enabled: installed,
            active,
            linger: None,
            unreachable,
        }
    }

    fn install(&self, plan: &Plan) -> Result<(), Failure> {
        write(&self.file, &agent(plan))
    }

    fn start(&self) -> Result<(), Failure> {
        // An older one has to go first; that there is none is no error.
        let _ = run("launchctl", &["bootout", &self.target()]);
        must("launchctl", &["bootstrap", &self.domain, &self.file.to_string_lossy()])
    }

    fn uninstall(&self) -> Result<(), Failure> {
        let _ = run("launchctl", &["bootout", &self.target()]);
        remove(&self.file)
    }
}

/// The agent's text for a plan.
fn agent(plan: &Plan) -> String {
    let mut environment = String::new();
    if !plan.environment.is_empty() {
        environment += "\t<key>EnvironmentVariables</key>\n\t<dict>\n";
        for (name, value) in &plan.environment {
            environment += &format!("\t\t<key>{name}</key>\n\t\t<string>{}</string>\n", escaped(value));
        }
        environment += "\t</dict>\n";
    }
    let mut text = String::new();
    for line in TEMPLATE.lines() {
        if line.contains("<key>RunAtLoad</key>") {
            text += &environment;
        }
        let line = if line.trim_start().starts_with("<string>") {
            line.replace("@DELIGHTD@", &escaped(&plan.program.to_string_lossy()))
                .replace("@LOG@", &escaped(&plan.log.to_string_lossy()))
        } else {
            line.to_owned()
        };
        text += &line;
        text.push('\n');
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_names_the_program_the_log_and_the_places() {
        let plan = Plan {
            program: "/opt/a&b/delightd".into(),
            log: "/log".into(),
            environment: vec![("DELIGHT_STATE_DIR", "/s<p".to_owned())],
        };
        let text = agent(&plan);
        assert!(
            text.contains("\t\t<string>/opt/a&amp;b/delightd</string>\n\t\t<string>run</string>"),
            "{text}"
        );
        assert_eq!(text.matches("<string>/log</string>").count(), 2);
        assert!(text.contains("\t\t<key>DELIGHT_STATE_DIR</key>\n\t\t<string>/s&lt;p</string>\n"), "{text}");
        let tags = |tag: &str| text.matches(tag).count();
        assert_eq!(tags("<dict>"), tags("</dict>"));
    }
}
