//! A real Socket.IO server: socketioxide on axum, in a runtime of its own so that it can be killed whole.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The server; dropping it kills it, its connections included.
pub(crate) struct Served {
    pub(crate) io: SocketIo,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_on(address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (layer, io) = SocketIo::builder()
            .req_path("/v1/updates")
            .ping_interval(Duration::from_secs(15))
            .ping_timeout(Duration::from_secs(45))
            .max_payload(1_000_000)
            .build_layer();
        io.ns("/", welcome);
        let app = Router::new().route("/v1/hello", axum::routing::get(hello)).layer(layer);
        let (tell, told) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        let address = told.recv().expect("the server binds its port");
        Self { io, address, runtime: Some(runtime) }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs something on the server's side.
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.as_ref().unwrap().spawn(future)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The token is looked at after CONNECT was acknowledged, as the servers that exist do it.
async fn welcome(socket: SocketRef, TryData(auth): TryData<Value>) {
    let token = auth.ok().and_then(|auth| auth.get("token")?.as_str().map(str::to_owned));
    if token.as_deref() != Some("good") {
        let _ = socket.emit("error", &serde_json::json!({"message": "Invalid authentication token"}));
        let _ = socket.disconnect();
        return;
    }
    socket.on("echo", async |ack: AckSender, Data::<Value>(value)| {
        let _ = ack.send(&value);
    });
    socket.on("silent", async |Data::<Value>(_)| {});
}

async fn hello() -> &'static str {
    r#"{"hello":"there"}"#
}
