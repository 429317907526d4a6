//! `delight-fake-model`: the scripted model server by hand. Prints its address and serves until it is killed.

#![allow(clippy::print_stdout)] // Its address is its output.

use std::net::TcpListener;

use delight_tests::fake_model::FakeModel;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let model = FakeModel::serve(TcpListener::bind(format!("127.0.0.1:{port}"))?);
    println!("{}", model.url());
    loop {
        std::thread::park();
    }
}
