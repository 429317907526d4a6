//! Which session a caller means: whole id, name, `@last`, or a prefix of the id that fits only one.

use delight_proto::id::{SessionId, SessionName};
use delight_proto::refusal::{Code, Refusal};

use super::state::{Entry, MAX_CANDIDATES, MIN_PREFIX, Supervisor};

impl Supervisor {
    /// The session a selector names.
    ///
    /// # Errors
    /// `not-found`, or `ambiguous` with the candidates.
    pub(super) fn select(&self, selector: &str) -> Result<&Entry, Refusal> {
        if selector == "@last" {
            let last = self.index.values().max_by_key(|entry| entry.order);
            return last.ok_or_else(|| not_found(selector, "there are no sessions"));
        }
        if let Ok(id) = selector.parse::<SessionId>()
            && let Some(entry) = self.index.get(&id)
        {
            return Ok(entry);
        }
        if let Ok(name) = selector.parse::<SessionName>()
            && let Some((id, _)) = self.names.get(&name)
            && let Some(entry) = self.index.get(id)
            && entry.view.name.as_ref() == Some(&name)
        {
            return Ok(entry);
        }
        let matches = |entry: &&Entry| !selector.is_empty() && entry.view.id.as_str().starts_with(selector);
        let mut fitting = self.index.values().filter(matches);
        match (fitting.next(), fitting.next()) {
            (None, _) => Err(not_found(selector, "no session has this id, name, or prefix of an id")),
            (Some(_), _) if selector.len() < MIN_PREFIX => {
                let why = format!("a prefix of an id needs at least {MIN_PREFIX} characters");
                Err(not_found(selector, &why))
            }
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(self.ambiguous(selector)),
        }
    }

    fn ambiguous(&self, selector: &str) -> Refusal {
        let fitting = self.index.values().filter(|entry| entry.view.id.as_str().starts_with(selector));
        let count = fitting.clone().count();
        let mut names: Vec<String> = fitting
            .take(MAX_CANDIDATES)
            .map(|Entry { view, .. }| match &view.name {
                Some(name) => format!("{} ({name})", view.id),
                None => view.id.to_string(),
            })
            .collect();
        if count > names.len() {
            names.push(format!("and {} more", count - names.len()));
        }
        let why = format!("it fits {count} sessions: {}", names.join(", "));
        Refusal::new(Code::Ambiguous, format!("{selector:?} is ambiguous"), why)
            .fix("give more characters of the id")
    }
}

fn not_found(selector: &str, why: &str) -> Refusal {
    let shown: String = selector.chars().take(80).collect();
    Refusal::new(Code::NotFound, format!("no session {shown:?}"), why)
        .fix("delightctl list shows those there are")
}
