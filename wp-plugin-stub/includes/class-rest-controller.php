<?php
/**
 * The REST controller: the routes with which the Flask application reads the journal.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Serves wc-flask-woo-events/v1. WooCommerce accepts its API keys only for namespaces that begin with wc-.
 */
class REST_Controller {

	const NAMESPACE_V1 = 'wc-flask-woo-events/v1';

	/** Maximum number of rows in one response. */
	const LIMIT = 1000;

	/** Types of objects in the journal. */
	const TYPES = array(
		'order',
		'refund',
		'order_or_refund',
		'order_note',
		'product',
		'variation',
		'coupon',
		'customer',
		'product_category',
		'product_tag',
		'product_shipping_class',
		'product_review',
		Use_Watcher::TYPE,
	);

	/** Maximum number of products in one request for orders. */
	const PRODUCTS = 100;

	/** Minimum number of seconds between two stored times of reading. */
	const NOTE_EVERY = 30;

	/**
	 * Add the routes.
	 */
	public static function register() {
		register_rest_route(
			self::NAMESPACE_V1,
			'/changes',
			array(
				'methods'             => \WP_REST_Server::READABLE,
				'callback'            => array( __CLASS__, 'changes' ),
				'permission_callback' => array( __CLASS__, 'may_read' ),
				'args'                => array(
					'after' => array(
						'description'       => 'Return the rows with greater numbers. Without it, return the newest rows.',
						'type'              => 'integer',
						'minimum'           => 0,
						'validate_callback' => 'rest_validate_request_arg',
						'sanitize_callback' => 'rest_sanitize_request_arg',
					),
					'limit' => array(
						'description'       => 'Maximum number of rows.',
						'type'              => 'integer',
						'minimum'           => 1,
						'maximum'           => self::LIMIT,
						'default'           => self::LIMIT,
						'validate_callback' => 'rest_validate_request_arg',
						'sanitize_callback' => 'rest_sanitize_request_arg',
					),
				),
			)
		);
		register_rest_route(
			self::NAMESPACE_V1,
			'/orders',
			array(
				'methods'             => \WP_REST_Server::READABLE,
				'callback'            => array( __CLASS__, 'orders' ),
				'permission_callback' => array( __CLASS__, 'may_read' ),
				'args'                => array(
					'products' => array(
						'description'       => 'Ids of products and variations, including deleted ones.',
						'type'              => 'array',
						'items'             => array( 'type' => 'integer' ),
						'minItems'          => 1,
						'maxItems'          => self::PRODUCTS,
						'required'          => true,
						'validate_callback' => 'rest_validate_request_arg',
						'sanitize_callback' => 'rest_sanitize_request_arg',
					),
					'after'    => array(
						'description'       => 'Where the previous response ended.',
						'type'              => 'integer',
						'minimum'           => 0,
						'default'           => 0,
						'validate_callback' => 'rest_validate_request_arg',
						'sanitize_callback' => 'rest_sanitize_request_arg',
					),
				),
			)
		);
		register_rest_route(
			self::NAMESPACE_V1,
			'/status',
			array(
				'methods'             => \WP_REST_Server::READABLE,
				'callback'            => array( __CLASS__, 'status' ),
				'permission_callback' => array( __CLASS__, 'may_read' ),
			)
		);
	}

	/**
	 * Return whether the current user may read the journal.
	 *
	 * @return true|\WP_Error
	 */
	public static function may_read() {
		if ( current_user_can( 'manage_woocommerce' ) ) { // phpcs:ignore WordPress.WP.Capabilities.Unknown
			return true;
		}
		return new \WP_Error(
			'flask_woo_events_cannot_view',
			__( 'Sorry, you are not allowed to read the journal.', 'flask-woo-events' ),
			array( 'status' => rest_authorization_required_code() )
		);
	}

	/**
	 * Return the changes after a row.
	 *
	 * @param \WP_REST_Request $request The request.
	 * @return \WP_REST_Response|\WP_Error
	 */
	public static function changes( $request ) {
		$limit = (int) $request['limit'];
		$tail  = null === $request['after'];
		$after = (int) $request['after'];
		// Read the rows first, so that the state shows if the journal was pruned or restarted meanwhile.
		$rows = self::read( $tail, $after, $limit );
		if ( null === $rows ) {
			return new \WP_Error( 'flask_woo_events_no_journal', __( 'The journal cannot be read.', 'flask-woo-events' ), array( 'status' => 503 ) );
		}
		$facts = Journal::facts( $after );
		self::note_reading( $request );
		if ( ! $tail && $after < $facts['pruned'] ) {
			return new \WP_Error(
				'flask_woo_events_pruned',
				__( 'Rows after this one were pruned.', 'flask-woo-events' ),
				array( 'status' => 410 ) + $facts
			);
		}
		$last     = $rows ? (int) end( $rows )['seq'] : $after;
		$response = new \WP_REST_Response(
			array(
				'changes' => array_map( array( __CLASS__, 'shown' ), $rows ),
				'next'    => $tail ? max( $last, $facts['head'] ) : $last,
				'more'    => ! $tail && count( $rows ) === $limit,
				'types'   => self::TYPES,
			) + $facts
		);
		$response->header( 'Cache-Control', 'no-cache, no-store, must-revalidate, max-age=0, private' );
		return $response;
	}

	/**
	 * Return the orders and refunds that name some products.
	 *
	 * @param \WP_REST_Request $request The request.
	 * @return \WP_REST_Response
	 */
	public static function orders( $request ) {
		$products = array_slice( array_unique( array_map( 'intval', (array) $request['products'] ) ), 0, self::PRODUCTS );
		$response = new \WP_REST_Response( Use_Watcher::orders_of( $products, (int) $request['after'], self::LIMIT ) );
		$response->header( 'Cache-Control', 'no-cache, no-store, must-revalidate, max-age=0, private' );
		return $response;
	}

	/**
	 * Read rows, and create the table if it was dropped.
	 *
	 * @param bool $tail  Whether to read the newest rows.
	 * @param int  $after Number of the row after which to read.
	 * @param int  $limit Maximum number of rows.
	 * @return array[]|null Null if the journal cannot be read.
	 */
	private static function read( $tail, $after, $limit ) {
		global $wpdb;
		$suppressed = $wpdb->suppress_errors( true );
		for ( $attempt = 0; $attempt < 2; $attempt++ ) {
			$rows = $tail ? Journal::newest( $limit ) : Journal::after( $after, $limit );
			if ( '' === $wpdb->last_error ) {
				break;
			}
			$rows = null;
			if ( ! Journal::exists() ) {
				Installer::make_table();
				Installer::begin_epoch();
			}
		}
		$wpdb->suppress_errors( $suppressed );
		return $rows;
	}

	/**
	 * Return the state of the journal.
	 *
	 * @return \WP_REST_Response
	 */
	public static function status() {
		$facts = Journal::facts();
		unset( $facts['anchor'] );
		return new \WP_REST_Response(
			array(
				'version'   => FLASK_WOO_EVENTS_VERSION,
				'types'     => self::TYPES,
				'last_read' => self::last_read(),
				'webhooks'  => Connection::webhooks(),
			) + $facts
		);
	}

	/**
	 * Return a row in the form of the REST API.
	 *
	 * @param array $row A row.
	 * @return array
	 */
	private static function shown( $row ) {
		return array(
			'seq'       => (int) $row['seq'],
			'type'      => $row['object_type'],
			'id'        => (int) $row['object_id'],
			'parent'    => (int) $row['parent_id'],
			'operation' => $row['operation'],
			'at'        => Journal::date( $row['occurred_gmt'] ),
			'source'    => $row['source'],
		);
	}

	/**
	 * Store when and with which key the journal was read, for the settings page.
	 *
	 * @param \WP_REST_Request $request The request.
	 */
	private static function note_reading( $request ) {
		$before = self::last_read();
		$now    = time();
		$key    = self::key_of( $request );
		if ( $before && $now - $before['time'] < self::NOTE_EVERY && $before['time'] <= $now && $before['key'] === $key ) {
			return;
		}
		$noted = array(
			'time' => $now,
			'key'  => $key,
			'user' => get_current_user_id(),
		);
		update_option( Installer::READ_OPTION, $noted, false );
	}

	/**
	 * Return when the journal was last read; null if it never was.
	 *
	 * @return array|null
	 */
	public static function last_read() {
		$noted = get_option( Installer::READ_OPTION );
		return is_array( $noted ) && isset( $noted['time'], $noted['key'] ) ? $noted : null;
	}

	/**
	 * Return the end of the request's consumer key, as WooCommerce shows keys.
	 *
	 * @param \WP_REST_Request $request The request.
	 * @return string
	 */
	private static function key_of( $request ) {
		foreach ( array( 'oauth_consumer_key', 'consumer_key' ) as $name ) {
			if ( is_string( $request[ $name ] ) ) {
				return substr( sanitize_text_field( $request[ $name ] ), -7 );
			}
		}
		$user = isset( $_SERVER['PHP_AUTH_USER'] ) ? sanitize_text_field( wp_unslash( $_SERVER['PHP_AUTH_USER'] ) ) : '';
		return 0 === strpos( $user, 'ck_' ) ? substr( $user, -7 ) : '';
	}
}
