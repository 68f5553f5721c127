"""The store proxy: ``/hubs/ecommerce/{resource}``."""
