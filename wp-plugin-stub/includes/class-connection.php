<?php
/**
 * The connection: how the store is joined to the Flask application, and parted from it.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Sends the shop owner to the application, which asks WooCommerce for keys; removes them again.
 */
class Connection {

	const CONNECT    = 'flask_woo_events_connect';
	const DISCONNECT = 'flask_woo_events_disconnect';

	/** How the application names itself where WooCommerce asks whether it may have keys. */
	const APP_NAME = 'Flask Woo Events';

	/** How the application names its webhooks, before the number of its instance. */
	const WEBHOOK_NAME = 'flask_woo_events ';

	/**
	 * Listen to the buttons.
	 */
	public static function start() {
		add_action( 'admin_post_' . self::CONNECT, array( __CLASS__, 'connect' ) );
		add_action( 'admin_post_' . self::DISCONNECT, array( __CLASS__, 'disconnect' ) );
	}

	/**
	 * Where the settings are.
	 *
	 * @return string
	 */
	public static function settings_url() {
		return admin_url( 'admin.php?page=wc-settings&tab=integration&section=flask_woo_events' );
	}

	/**
	 * The address that the shop owner was given; empty before they entered it.
	 *
	 * @return string
	 */
	public static function address() {
		return (string) get_option( Installer::ADDRESS_OPTION, '' );
	}

	/**
	 * The address of the application without the invitation, to be shown.
	 *
	 * @return string
	 */
	public static function shown_address() {
		return (string) strtok( self::address(), '?' );
	}

	/**
	 * Whether an address can be the application's: that of its page for connecting, over https.
	 *
	 * @param string $address An address.
	 * @return bool
	 */
	public static function is_address( $address ) {
		$parts = wp_parse_url( $address );
		if ( ! is_array( $parts ) || empty( $parts['host'] ) || isset( $parts['user'] ) ) {
			return false;
		}
		$local = in_array( $parts['host'], array( 'localhost', '127.0.0.1' ), true );
		return 'https' === ( $parts['scheme'] ?? '' ) || ( 'http' === ( $parts['scheme'] ?? '' ) && $local );
	}

	/**
	 * Take the shop owner to the application's page for connecting.
	 */
	public static function connect() {
		self::check( self::CONNECT );
		$address = self::address();
		if ( ! self::is_address( $address ) ) {
			self::back( 'no-address' );
		}
		$target = add_query_arg(
			array(
				'store_url'  => rawurlencode( home_url() ),
				'return_url' => rawurlencode( self::settings_url() ),
			),
			$address
		);
		wp_redirect( $target ); // phpcs:ignore WordPress.Security.SafeRedirect -- To another host, which an administrator entered.
		exit;
	}

	/**
	 * Take the keys and the webhooks away from the application.
	 */
	public static function disconnect() {
		self::check( self::DISCONNECT );
		self::remove_webhooks();
		self::revoke_keys();
		delete_option( Installer::READ_OPTION );
		self::back( 'disconnected' );
	}

	/**
	 * Let nobody press a button who may not, or who was made to.
	 *
	 * @param string $action The button.
	 */
	private static function check( $action ) {
		if ( ! current_user_can( 'manage_woocommerce' ) ) { // phpcs:ignore WordPress.WP.Capabilities.Unknown
			wp_die( esc_html__( 'Sorry, you may not connect this store.', 'flask-woo-events' ), '', array( 'response' => 403 ) );
		}
		check_admin_referer( $action );
	}

	/**
	 * Go back to the settings with a word of what happened.
	 *
	 * @param string $word The word.
	 */
	private static function back( $word ) {
		wp_safe_redirect( add_query_arg( 'flask_woo_events', $word, self::settings_url() ) );
		exit;
	}

	/**
	 * The keys that the application was given, the newest first.
	 *
	 * @return array[]
	 */
	public static function keys() {
		global $wpdb;
		$like = $wpdb->esc_like( self::APP_NAME ) . ' - API%';
		// phpcs:ignore WordPress.DB
		return (array) $wpdb->get_results( $wpdb->prepare( "SELECT key_id, truncated_key, permissions, last_access FROM {$wpdb->prefix}woocommerce_api_keys WHERE description LIKE %s ORDER BY key_id DESC", $like ), ARRAY_A );
	}

	/**
	 * Take the application's keys away.
	 *
	 * @return int How many there were.
	 */
	public static function revoke_keys() {
		global $wpdb;
		$keys = self::keys();
		foreach ( $keys as $key ) {
			$wpdb->delete( $wpdb->prefix . 'woocommerce_api_keys', array( 'key_id' => $key['key_id'] ), array( '%d' ) ); // phpcs:ignore WordPress.DB
		}
		return count( $keys );
	}

	/**
	 * The application's webhooks and how they are.
	 *
	 * @return array[]
	 */
	public static function webhooks() {
		global $wpdb;
		$like = $wpdb->esc_like( self::WEBHOOK_NAME ) . '%';
		// phpcs:ignore WordPress.DB
		$rows = (array) $wpdb->get_results( $wpdb->prepare( "SELECT webhook_id, topic, status, failure_count FROM {$wpdb->prefix}wc_webhooks WHERE name LIKE %s ORDER BY webhook_id", $like ), ARRAY_A );
		return array_map(
			function ( $row ) {
				return array(
					'id'       => (int) $row['webhook_id'],
					'topic'    => $row['topic'],
					'status'   => $row['status'],
					'failures' => (int) $row['failure_count'],
				);
			},
			$rows
		);
	}

	/**
	 * Remove the application's webhooks.
	 *
	 * @return int How many there were.
	 */
	public static function remove_webhooks() {
		$removed = 0;
		foreach ( self::webhooks() as $row ) {
			$webhook = function_exists( 'wc_get_webhook' ) ? wc_get_webhook( $row['id'] ) : null;
			if ( $webhook ) {
				$webhook->delete( true );
				++$removed;
			}
		}
		return $removed;
	}
}
