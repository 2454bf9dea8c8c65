//! Which function of store.go a call of the vocabulary is, and its answer as a value.

use super::record_store::{self, Record};
use super::{Layer, StoreProtocol, lockfile};
use crate::call::{Call, Fail, Reply};
use crate::ctx::Ctx;
use crate::value::{Datum, Value};

/// Performs a call.
pub async fn perform<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, call: Call) -> Reply {
    match call {
        Call::Open => p.get_store(ctx).await.map(|()| Value::Nil),
        Call::Status => p.status(ctx).await.map(|()| Value::Nil),
        Call::Names { id } => p.names(ctx, &id).await.map(|names| names.to_value()),
        Call::Lookup { name } => p.lookup(ctx, &name).await.map(Value::Text),
        Call::Exists { id } => Ok(Value::Bool(p.exists(ctx, &id).await)),
        Call::Layers => p.layers(ctx).await.map(|layers| ids_of(layers).to_value()),
        Call::PutLayer { id, parent, names, diff } => {
            let layer = Layer { id, names, parent: parent.unwrap_or_default(), incomplete: false };
            p.put_layer(ctx, layer, diff).await.map(Value::Text)
        }
        Call::DeleteLayer { id } => p.delete_layer(ctx, &id).await.map(|()| Value::Nil),
        Call::SetNames { id, names } => p.set_names(ctx, &id, &names).await.map(|()| Value::Nil),
        Call::Diff { id } => p.diff(ctx, &id).await.map(|()| Value::Nil),
        Call::CloseDiff { id } => p.close_diff(ctx, &id).await.map(|()| Value::Nil),
        Call::CreateImage { id, layer, names } => {
            let image = Record { id, names, layer: layer.unwrap_or_default(), image: String::new() };
            p.create_image(ctx, image).await.map(Value::Text)
        }
        Call::DeleteImage { id } => p.delete_image(ctx, &id).await.map(|()| Value::Nil),
        Call::Images => p.images(ctx).await.map(|ids| ids.to_value()),
        Call::CreateContainer { id, image, names } => {
            let layer = record_store::layer_of_container(&id);
            let container = Record { id, names, layer, image: image.unwrap_or_default() };
            p.create_container(ctx, container).await.map(Value::Text)
        }
        Call::DeleteContainer { id } => p.delete_container(ctx, &id).await.map(|()| Value::Nil),
        Call::Containers => p.containers(ctx).await.map(|ids| ids.to_value()),
        Call::MultiList => p.multi_list(ctx).await.map(|(layers, images, containers)| {
            Value::List([ids_of(layers), images, containers].iter().map(Datum::to_value).collect())
        }),
        Call::Mount { id } => p.mount(ctx, &id).await.map(|()| Value::Nil),
        Call::Unmount { id } => p.unmount(ctx, &id).await.map(Value::Bool),
        Call::Mounted { id } => p.mounted(ctx, &id).await.map(Value::Int),
        Call::Shutdown => p.shutdown(ctx).await.map(|()| Value::Nil),
        Call::ShutdownRo => p.shutdown_ro(ctx).await.map(|()| Value::Nil),
        Call::Lockfile { method, file, ro } => lockfile::call(p, ctx, method, &file, ro).await,
        Call::On { of, .. } => Err(Fail(format!("`{of}` on a Store object within a call"))),
        Call::Goroutine { name, arguments } => p.goroutine(ctx, &name, arguments).await,
    }
}

fn ids_of(layers: Vec<Layer>) -> Vec<String> {
    layers.into_iter().map(|layer| layer.id).collect()
}
