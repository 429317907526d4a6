//! `delight-schema`: writes the control API's JSON Schema to standard output, for `proto/api.schema.json`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(&delight_proto::api::schema::document())?;
    writeln!(std::io::stdout(), "{text}")
}
