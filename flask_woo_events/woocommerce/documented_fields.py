"""Documented fields: the top-level fields of WooCommerce's own REST API."""

from __future__ import annotations

#: Those of all collections that the hub names, WooCommerce 5.9 to 11.0. Any other field belongs to
#: an extension.
DOCUMENTED = frozenset(
    """
    _links amount attributes author avatar_url average_rating backordered backorders
    backorders_allowed billing brands button_text cart_hash cart_tax catalog_visibility
    categories cities city class code compound cost_of_goods_sold count country coupon_lines
    created_via cross_sell_ids currency currency_symbol customer_id customer_ip_address
    customer_note customer_user_agent date_completed date_completed_gmt date_created
    date_created_gmt date_expires date_expires_gmt date_modified date_modified_gmt
    date_on_sale_from date_on_sale_from_gmt date_on_sale_to date_on_sale_to_gmt date_paid
    date_paid_gmt default_attributes description dimensions discount_tax discount_total
    discount_type display download_expiry download_limit downloadable downloads email
    email_restrictions exclude_sale_items excluded_product_categories excluded_product_ids
    external_url featured fee_lines first_name free_shipping gallery_image_ids global_unique_id
    grouped_products has_archives has_options id image images individual_use is_editable
    is_paying_customer last_name limit_usage_to_x_items line_items low_stock_amount manage_stock
    maximum_amount menu_order meta_data minimum_amount name needs_payment needs_processing note
    number on_sale order order_by order_key parent parent_id payment_method payment_method_title
    payment_url permalink post_password postcode postcodes price price_html prices_include_tax
    priority product_categories product_id product_ids product_name product_permalink
    purchasable purchase_note rate rating rating_count reason refunded_by refunded_payment
    refunds regular_price related_ids review reviewer reviewer_avatar_urls reviewer_email
    reviews_allowed role sale_price set_paid shipping shipping_class shipping_class_id
    shipping_lines shipping_required shipping_tax shipping_taxable shipping_total
    short_description sku slug sold_individually state status stock_quantity stock_status tags
    tax_class tax_lines tax_status total total_sales total_tax transaction_id type upsell_ids
    usage_count usage_limit usage_limit_per_user used_by username variations verified version
    virtual weight
    """.split()
)
