<?php
/**
 * Installs WordPress for the tests.
 *
 * @package Flask_Woo_Events
 */

define( 'WP_INSTALLING', true );
function wp_mail() {
	return true;
}
require __DIR__ . '/bootstrap.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install( 'Tests', 'admin', 'admin@shop.test', true, '', 'password' );
update_option( 'siteurl', 'https://shop.test' );
update_option( 'home', 'https://shop.test' );
update_option( 'permalink_structure', '/%postname%/' );
get_role( 'administrator' )->add_cap( 'manage_woocommerce' );
add_role( 'customer', 'Customer', array( 'read' => true ) );
update_option( 'active_plugins', array( 'woocommerce/woocommerce.php' ) );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}woocommerce_api_keys (key_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, description varchar(200), permissions varchar(10), consumer_key char(64), consumer_secret char(43), nonces longtext, truncated_key char(7), last_access datetime NULL)" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}wc_webhooks (webhook_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, status varchar(200), name text, topic varchar(200), failure_count smallint DEFAULT 0)" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}actionscheduler_actions (action_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, hook varchar(191))" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}actionscheduler_logs (log_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, action_id bigint unsigned)" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}actionscheduler_groups (group_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, slug varchar(191))" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}woocommerce_order_items (order_item_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, order_id bigint unsigned)" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}woocommerce_order_itemmeta (meta_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, order_item_id bigint unsigned, meta_key varchar(255), meta_value longtext)" );
$wpdb->query( "CREATE TABLE {$wpdb->prefix}wc_orders (id bigint unsigned PRIMARY KEY, type varchar(20), parent_order_id bigint unsigned)" );
