pub(crate) mod child;
