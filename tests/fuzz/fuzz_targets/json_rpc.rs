//! Lines of the control API: any bytes are a request, an answer, or an error; what is read is written back the same.

#![no_main]

use delight_proto::api::envelope::{Request, Response};
use delight_proto::api::method::{EventsParams, OutputParams, SendParams, SpawnParams, StopParams, WaitParams};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = serde_json::from_slice::<Response>(line);
        let Ok(request) = serde_json::from_slice::<Request>(line) else { continue };
        let again: Request = serde_json::from_slice(&serde_json::to_vec(&request).unwrap()).unwrap();
        assert_eq!((again.id, again.method), (request.id, request.method.clone()));
        let Some(params) = &request.params else { continue };
        if let Ok(spawn) = serde_json::from_str::<SpawnParams>(params.get()) {
            let text = serde_json::to_string(&spawn).unwrap();
            assert_eq!(serde_json::from_str::<SpawnParams>(&text).unwrap(), spawn);
        }
        let _ = serde_json::from_str::<OutputParams>(params.get());
        let _ = serde_json::from_str::<SendParams>(params.get());
        let _ = serde_json::from_str::<StopParams>(params.get());
        let _ = serde_json::from_str::<WaitParams>(params.get());
        let _ = serde_json::from_str::<EventsParams>(params.get());
    }
});
