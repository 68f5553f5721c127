"""The REST API of one WooCommerce store."""
