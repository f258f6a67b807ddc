//! The attributes that make an `async fn` a test, by the stacks that it runs on:
//!
//! ```text
//! #[apply(every_stack)]
//! async fn a_message_is_answered(stack: Stack) { … }
//! ```
//!
//! gives the tests `a_message_is_answered::embedded`, `…::pair` and `…::one_of_each`. The argument
//! is a [`Fixture`](crate::Fixture), or nothing. `one_of_each` has one control and one gateway over
//! Redis; `tests/run` leaves it out without `--all`, since the pair shows the same.
//!
//! A test whose first argument is a [`Language`](crate::Language) runs on each stack with each
//! language: `…::python::embedded`, `…::typescript::embedded` and so on.

/// Makes a function a test on each of these stacks, in a module of the function's name.
#[doc(hidden)]
#[macro_export]
macro_rules! on_stacks {
    ($stacks:tt $(#[$attribute:meta])* async fn $test:ident() $body:block) => {
        $crate::on_stacks! { $stacks $(#[$attribute])* async fn $test(_: $crate::Kind) $body }
    };
    (
        [$($stack:ident $kind:ident),+]
        $(#[$attribute:meta])*
        async fn $test:ident($language:ident: Language, $($argument:tt)+) $body:block
    ) => {
        $(#[$attribute])*
        async fn $test($language: $crate::Language, $($argument)+) $body
        mod $test {
            mod python { $(#[test] fn $stack() {
                $crate::run($crate::Kind::$kind, |it| super::super::$test($crate::Language::Python, it))
            })+ }
            mod typescript { $(#[test] fn $stack() {
                $crate::run($crate::Kind::$kind, |it| super::super::$test($crate::Language::TypeScript, it))
            })+ }
            mod rust { $(#[test] fn $stack() {
                $crate::run($crate::Kind::$kind, |it| super::super::$test($crate::Language::Rust, it))
            })+ }
        }
    };
    (
        [$($stack:ident $kind:ident),+]
        $(#[$attribute:meta])*
        async fn $test:ident($($argument:tt)+) $body:block
    ) => {
        $(#[$attribute])*
        async fn $test($($argument)+) $body
        mod $test {
            $(#[test] fn $stack() { $crate::run($crate::Kind::$kind, super::$test) })+
        }
    };
}

/// The embedded store, two controls and two gateways over one Redis, and one control and one
/// gateway over one Redis.
#[macro_export]
macro_rules! every_stack {
    ($($test:tt)+) => {
        $crate::on_stacks! { [embedded Embedded, pair Pair, one_of_each OneRedis] $($test)+ }
    };
}

/// The stacks over one Redis: with two controls and two gateways, and with one of each.
#[macro_export]
macro_rules! on_redis {
    ($($test:tt)+) => { $crate::on_stacks! { [pair Pair, one_of_each OneRedis] $($test)+ } };
}

/// The embedded store, and the pair.
#[macro_export]
macro_rules! embedded_and_pair {
    ($($test:tt)+) => { $crate::on_stacks! { [embedded Embedded, pair Pair] $($test)+ } };
}

/// Each kind of store, once.
#[macro_export]
macro_rules! embedded_and_one_redis {
    ($($test:tt)+) => { $crate::on_stacks! { [embedded Embedded, one_redis OneRedis] $($test)+ } };
}

/// The embedded store alone.
#[macro_export]
macro_rules! embedded {
    ($($test:tt)+) => { $crate::on_stacks! { [embedded Embedded] $($test)+ } };
}

/// One Redis alone.
#[macro_export]
macro_rules! one_redis {
    ($($test:tt)+) => { $crate::on_stacks! { [one_redis OneRedis] $($test)+ } };
}

/// The pair alone.
#[macro_export]
macro_rules! pair {
    ($($test:tt)+) => { $crate::on_stacks! { [pair Pair] $($test)+ } };
}

/// Redis that fails over: by Sentinels, and as a Cluster.
#[macro_export]
macro_rules! sentinel_and_cluster {
    ($($test:tt)+) => { $crate::on_stacks! { [sentinel Sentinel, cluster Cluster] $($test)+ } };
}

/// Redis with Sentinels alone.
#[macro_export]
macro_rules! sentinel {
    ($($test:tt)+) => { $crate::on_stacks! { [sentinel Sentinel] $($test)+ } };
}

/// A Redis Cluster alone.
#[macro_export]
macro_rules! cluster {
    ($($test:tt)+) => { $crate::on_stacks! { [cluster Cluster] $($test)+ } };
}
