//! The routes of the API, each with what its handler reads of a request. The contract describes an
//! operation by the types of its handler's arguments, so it lists exactly what is read.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    handler::Handler,
    routing::{MethodFilter, on},
};
use http::{HeaderMap, Uri, request::Parts};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// A method, and its name in the contract.
pub(crate) struct Verb(MethodFilter, &'static str);

pub(crate) const DELETE: Verb = Verb(MethodFilter::DELETE, "delete");
pub(crate) const GET: Verb = Verb(MethodFilter::GET, "get");
pub(crate) const OPTIONS: Verb = Verb(MethodFilter::OPTIONS, "options");
pub(crate) const PATCH: Verb = Verb(MethodFilter::PATCH, "patch");
pub(crate) const POST: Verb = Verb(MethodFilter::POST, "post");
pub(crate) const PUT: Verb = Verb(MethodFilter::PUT, "put");

/// Routes, with the operations that describe them in the contract.
pub(crate) struct Routes<S> {
    pub(crate) router: Router<S>,
    pub(crate) operations: Vec<Operation>,
}

/// A method of a path.
pub(crate) struct Operation {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
    /// Describes what the handler reads.
    pub(crate) describe: fn(&mut Description<'_>),
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), operations: Vec::new() }
    }

    /// Adds an operation.
    pub(crate) fn on<H, T>(mut self, verb: Verb, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: Arguments + 'static,
    {
        let Verb(filter, method) = verb;
        self.operations.push(Operation { path, method, describe: T::describe });
        self.with(|router| router.route(path, on(filter, handler)))
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self.with(|router| router.merge(other.router))
    }

    /// Changes only the router.
    pub(crate) fn with(mut self, change: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        self.router = change(self.router);
        self
    }
}

/// The description of an operation in the contract.
pub(crate) struct Description<'a> {
    pub(crate) schemas: &'a mut SchemaGenerator,
    pub(crate) operation: &'a mut Value,
}

impl Description<'_> {
    /// Adds each field of a type as a parameter in `place`: `path` or `query`.
    pub(crate) fn parameters<T: JsonSchema>(&mut self, place: &str) {
        let mut schema = T::json_schema(self.schemas);
        for transform in self.schemas.transforms_mut() {
            transform.transform(&mut schema);
        }
        let required = schema.remove("required").unwrap_or_default();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            without_null(property);
            let is_required = required.as_array().is_some_and(|all| all.contains(&json!(name)));
            self.parameter(place, name, is_required, property.take());
        }
    }

    /// Adds a parameter, with the description that its schema has.
    pub(crate) fn parameter(
        &mut self,
        place: &str,
        name: &str,
        is_required: bool,
        mut schema: Value,
    ) {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter =
            json!({ "name": name, "in": place, "required": is_required, "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        match &mut self.operation["parameters"] {
            Value::Array(parameters) => parameters.push(parameter),
            none => *none = json!([parameter]),
        }
    }

    /// Sets the body: its schemas by their media types.
    pub(crate) fn body(&mut self, is_required: bool, content: Value) {
        self.operation["requestBody"] = json!({ "required": is_required, "content": content });
    }
}

/// Removes `null` from the types of a value that is written as text.
pub(crate) fn without_null(schema: &mut Value) {
    let types = schema.get_mut("type").and_then(Value::as_array_mut);
    let Some(types) = types else { return };
    types.retain(|kind| kind != "null");
    if types.len() == 1 {
        schema["type"] = types.remove(0);
    }
}

/// An argument of a handler.
pub(crate) trait Argument {
    /// Describes what it reads of the request.
    fn describe(_: &mut Description<'_>) {}
}

impl<S> Argument for State<S> {}
impl Argument for HeaderMap {}
impl Argument for Parts {}
impl Argument for Request {}
impl Argument for Uri {}

/// A body of any type.
impl Argument for Body {
    fn describe(operation: &mut Description<'_>) {
        operation.body(false, json!({ "*/*": {} }));
    }
}

impl<T: JsonSchema> Argument for Path<T> {
    fn describe(operation: &mut Description<'_>) {
        operation.parameters::<T>("path");
    }
}

impl<T: Argument, E> Argument for Result<T, E> {
    fn describe(operation: &mut Description<'_>) {
        T::describe(operation);
    }
}

/// The arguments of a handler, as a tuple. Its first type, `M`, is a marker of axum's.
pub(crate) trait Arguments {
    fn describe(operation: &mut Description<'_>);
}

macro_rules! arguments {
    () => {
        impl<M> Arguments for (M,) {
            fn describe(_: &mut Description<'_>) {}
        }
    };
    ($first:ident $($more:ident)*) => {
        impl<M, $first: Argument, $($more: Argument),*> Arguments for (M, $first, $($more),*) {
            fn describe(operation: &mut Description<'_>) {
                $first::describe(operation);
                $($more::describe(operation);)*
            }
        }
        arguments!($($more)*);
    };
}

arguments!(A B C D E F G);
