//! `rpc`: one raw call of the control API.

use std::io::Read;

use delight_proto::api::MAX_LINE;
use delight_proto::api::method::{Method, NAMES, Subscribe};
use serde_json::value::RawValue;

use crate::context::Context;
use crate::failure::{Failure, system, usage};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl rpc daemon.status
  delightctl rpc session.get '{\"session\": \"build\"}'
  delightctl rpc subscribe          the result, then one change a line until interrupted")]
pub(crate) struct Args {
    /// Method, such as session.list
    method: String,
    /// Parameters as a JSON object; - reads them from standard input
    #[arg(default_value = "{}")]
    params: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let text = if self.params == "-" {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MAX_LINE as u64 + 1).read_to_string(&mut text);
            read.map_err(|e| system("the parameters could not be read", e))?;
            text
        } else {
            self.params
        };
        let params: Box<RawValue> = serde_json::from_str(text.trim()).map_err(|e| {
            usage(
                "the parameters are not JSON",
                e.to_string(),
                "give an object such as '{\"session\": \"build\"}'",
            )
        })?;
        // A line end inside would cut the message in two; JSON allows one only between tokens.
        let params: serde_json::Value =
            serde_json::from_str(params.get()).map_err(|e| system("the parameters", e))?;
        let mut daemon = context.daemon()?;
        let number = daemon.request_raw(&self.method, &params)?;
        let result = daemon.answer_raw(&self.method, number).map_err(|failure| match failure {
            Failure::Refused(refusal) if refusal.fix.is_empty() && !NAMES.contains(&self.method.as_str()) => {
                (*refusal).fix(format!("one of: {}", NAMES.join(", "))).into()
            }
            other => other,
        })?;
        context.out.document(&result)?;
        if self.method == Subscribe::NAME {
            while let Some(change) = daemon.change()? {
                context.out.document(&change)?;
            }
        }
        Ok(0)
    }
}
