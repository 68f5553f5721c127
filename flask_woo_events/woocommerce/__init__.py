"""One WooCommerce store: its REST API as we use it."""
