<?php
/**
 * The connection: connects the store to the Flask application, and disconnects it.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Sends the shop owner to the application, which requests keys from WooCommerce, and removes these keys.
 */
class Connection {

	const CONNECT    = 'flask_woo_events_connect';
	const DISCONNECT = 'flask_woo_events_disconnect';

	/** Name of the application on WooCommerce's page that asks for approval. */
	const APP_NAME = 'Flask Woo Events';

	/** Prefix of the names of the application's webhooks, followed by the instance id. */
	const WEBHOOK_NAME = 'flask_woo_events ';

	/**
	 * Register the actions of the buttons.
	 */
	public static function start() {
		add_action( 'admin_post_' . self::CONNECT, array( __CLASS__, 'connect' ) );
		add_action( 'admin_post_' . self::DISCONNECT, array( __CLASS__, 'disconnect' ) );
	}

	/**
	 * Return the URL of the settings page.
	 *
	 * @return string
	 */
	public static function settings_url() {
		return admin_url( 'admin.php?page=wc-settings&tab=integration&section=flask_woo_events' );
	}

	/**
	 * Return the invitation that the shop owner entered; empty if there is none.
	 *
	 * @return string
	 */
	public static function address() {
		return (string) get_option( Installer::ADDRESS_OPTION, '' );
	}

	/**
	 * Return the address of the application without the secret of the invitation.
	 *
	 * @return string
	 */
	public static function shown_address() {
		return (string) strtok( self::address(), '?' );
	}

	/**
	 * Return whether an address may be the application's: it must use https, except on localhost.
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
	 * Redirect the shop owner to the application, which starts the connection.
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
		wp_redirect( $target ); // phpcs:ignore WordPress.Security.SafeRedirect -- An administrator entered the other host.
		exit;
	}

	/**
	 * Remove the keys and the webhooks of the application.
	 */
	public static function disconnect() {
		self::check( self::DISCONNECT );
		self::remove_webhooks();
		self::revoke_keys();
		delete_option( Installer::READ_OPTION );
		self::back( 'disconnected' );
	}

	/**
	 * Check the user's capability and the nonce.
	 *
	 * @param string $action The action of the button.
	 */
	private static function check( $action ) {
		if ( ! current_user_can( 'manage_woocommerce' ) ) { // phpcs:ignore WordPress.WP.Capabilities.Unknown
			wp_die( esc_html__( 'Sorry, you are not allowed to connect this store.', 'flask-woo-events' ), '', array( 'response' => 403 ) );
		}
		check_admin_referer( $action );
	}

	/**
	 * Redirect to the settings page, which shows a message.
	 *
	 * @param string $message Key of the message.
	 */
	private static function back( $message ) {
		wp_safe_redirect( add_query_arg( 'flask_woo_events', $message, self::settings_url() ) );
		exit;
	}

	/**
	 * Return the keys of the application, newest first.
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
	 * Remove the keys of the application.
	 *
	 * @return int Number of removed keys.
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
	 * Return the application's webhooks with their status.
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
	 * Remove the webhooks of the application.
	 *
	 * @return int Number of removed webhooks.
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
