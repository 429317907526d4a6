//! Codex's permission modes: a policy for asking and a sandbox, under one name.

use serde_json::{Value, json};

/// One mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode {
    /// Its name.
    pub(super) name: &'static str,
    /// When it asks.
    pub(super) approval: &'static str,
    /// What it may do without asking, as a new thread is told.
    pub(super) sandbox: &'static str,
}

/// All of them, the most careful first.
const MODES: &[Mode] = &[
    Mode { name: "read-only", approval: "on-request", sandbox: "read-only" },
    Mode { name: "untrusted", approval: "untrusted", sandbox: "workspace-write" },
    Mode { name: "workspace-write", approval: "on-request", sandbox: "workspace-write" },
    Mode { name: "never-ask", approval: "never", sandbox: "workspace-write" },
    Mode { name: "full-access", approval: "never", sandbox: "danger-full-access" },
];

/// Names other programs have for them.
const ALIASES: &[(&str, &str)] =
    &[("default", "workspace-write"), ("safe-yolo", "never-ask"), ("yolo", "full-access")];

/// The mode of a name.
pub(super) fn of(name: &str) -> Option<Mode> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    MODES.iter().find(|mode| mode.name == name).copied()
}

/// The mode that a policy for asking and a sandbox, as a thread's settings have it, come to.
pub(super) fn matching(approval: &str, sandbox: &str) -> Option<Mode> {
    let sandbox = match sandbox {
        "readOnly" => "read-only",
        "dangerFullAccess" => "danger-full-access",
        "workspaceWrite" => "workspace-write",
        _ => return None,
    };
    MODES.iter().find(|mode| mode.approval == approval && mode.sandbox == sandbox).copied()
}

/// Their names, for refusals.
pub(super) fn names() -> String {
    MODES.iter().map(|mode| mode.name).collect::<Vec<_>>().join(", ")
}

impl Mode {
    /// The sandbox as a turn is told.
    pub(super) fn sandbox_policy(self) -> Value {
        match self.sandbox {
            "read-only" => json!({"type": "readOnly"}),
            "danger-full-access" => json!({"type": "dangerFullAccess"}),
            _ => json!({"type": "workspaceWrite"}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_leads_to_a_mode() {
        for (alias, name) in ALIASES {
            assert_eq!(of(alias).unwrap().name, *name);
        }
        for mode in MODES {
            let told = mode.sandbox_policy();
            assert_eq!(matching(mode.approval, told["type"].as_str().unwrap()), Some(*mode));
        }
        assert_eq!(matching("on-request", "externalSandbox"), None);
        assert_eq!(of("bypassPermissions"), None);
        assert!(names().contains("read-only"));
    }
}
