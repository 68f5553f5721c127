<?php
/**
 * The plugin: registers its parts with WordPress.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Registers the hooks of all parts.
 */
class Plugin {

	/**
	 * Register the hooks. The journal is also written while WooCommerce is inactive.
	 */
	public static function start() {
		add_action( 'before_woocommerce_init', array( __CLASS__, 'declare_compatibility' ) );
		add_action( 'plugins_loaded', array( 'Flask_Woo_Events\Installer', 'check' ), 1 );
		add_action( 'init', array( __CLASS__, 'load_translations' ) );
		add_action( 'init', array( 'Flask_Woo_Events\Installer', 'schedule' ), 20 );
		add_action( Installer::PRUNE_ACTION, array( 'Flask_Woo_Events\Journal', 'prune' ) );
		add_action( 'rest_api_init', array( 'Flask_Woo_Events\REST_Controller', 'register' ) );
		add_filter( 'wpmu_drop_tables', array( 'Flask_Woo_Events\Installer', 'drop_with_site' ) );
		add_filter( 'woocommerce_integrations', array( __CLASS__, 'add_integration' ) );
		add_filter( 'plugin_action_links_' . plugin_basename( FLASK_WOO_EVENTS_FILE ), array( __CLASS__, 'add_link' ) );
		Connection::start();
		Post_Watcher::start();
		Order_Watcher::start();
		Customer_Watcher::start();
		Comment_Watcher::start();
		Use_Watcher::start();
	}

	/**
	 * Declare compatibility with orders in WooCommerce's own tables and with checkout blocks.
	 */
	public static function declare_compatibility() {
		if ( class_exists( '\Automattic\WooCommerce\Utilities\FeaturesUtil' ) ) {
			foreach ( array( 'custom_order_tables', 'cart_checkout_blocks' ) as $feature ) {
				\Automattic\WooCommerce\Utilities\FeaturesUtil::declare_compatibility( $feature, FLASK_WOO_EVENTS_FILE, true );
			}
		}
	}

	/**
	 * Load the translations in the plugin's folder.
	 */
	public static function load_translations() {
		load_plugin_textdomain( 'flask-woo-events', false, dirname( plugin_basename( FLASK_WOO_EVENTS_FILE ) ) . '/languages' );
	}

	/**
	 * Add the settings page.
	 *
	 * @param array $integrations WooCommerce's integrations.
	 * @return array
	 */
	public static function add_integration( $integrations ) {
		require_once __DIR__ . '/class-integration.php';
		$integrations[] = 'Flask_Woo_Events\Integration';
		return $integrations;
	}

	/**
	 * Add a link to the settings in the list of plugins.
	 *
	 * @param string[] $links Links.
	 * @return string[]
	 */
	public static function add_link( $links ) {
		array_unshift( $links, '<a href="' . esc_url( Connection::settings_url() ) . '">' . esc_html__( 'Settings', 'flask-woo-events' ) . '</a>' );
		return $links;
	}
}
