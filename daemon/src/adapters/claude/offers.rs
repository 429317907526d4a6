//! What Claude has to offer, of its stream's `init`.

use delight_proto::agent::{Offers, ToolServer};
use serde::Deserialize;

/// What is read of an `init` line for it. It is read apart from the rest of the line: whatever becomes of these lists, a
/// turn begins with it.
#[derive(Debug, Deserialize)]
struct Init {
    #[serde(default)]
    tools: Option<Vec<String>>,
    #[serde(default)]
    slash_commands: Option<Vec<String>>,
    #[serde(default)]
    skills: Option<Vec<String>>,
    #[serde(default)]
    mcp_servers: Option<Vec<ToolServer>>,
}

/// The lists of the line.
///
/// # Errors
/// They have another shape.
pub(super) fn of(line: &[u8]) -> Result<Offers, serde_json::Error> {
    let Init { tools, slash_commands: commands, skills, mcp_servers: servers } =
        serde_json::from_slice(line)?;
    Ok(Offers { tools, commands, skills, servers, ..Offers::default() })
}
