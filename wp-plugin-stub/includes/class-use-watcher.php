<?php
/**
 * The use watcher: what orders, variations and categories show of other objects, which tells nobody.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to changes of products, pictures, attributes and tax classes that change what shows them.
 *
 * An order shows of each product that it names the SKU, the picture, the name of a variation's
 * product, and that there is none any more. To find the orders of a product takes a walk through all
 * order items, so that nothing of it is done here: the row is of the product, and the reader asks
 * for its orders, those of many products at once.
 */
class Use_Watcher {

	/** What the journal calls a product of which orders show something else. */
	const TYPE = 'product_in_orders';

	/** Types of posts that order items name. */
	const PRODUCTS = array( 'product', 'product_variation' );

	/** Meta of products that orders show. */
	const SHOWN = array( '_sku', '_thumbnail_id', '_global_unique_id', '_virtual', '_downloadable' );

	/** Meta of pictures that products and categories show. */
	const PICTURE = array( '_wp_attachment_image_alt', '_wp_attached_file' );

	/** Settings on which representations depend, and of what. */
	const SETTINGS = array(
		'home'                           => array( 'product', 'variation', 'order', 'refund', 'product_category' ),
		'siteurl'                        => array( 'product', 'variation', 'order', 'refund', 'product_category' ),
		'upload_url_path'                => array( 'product', 'variation', 'order', 'refund', 'product_category' ),
		'woocommerce_manage_stock'       => array( 'product', 'variation' ),
		'woocommerce_price_num_decimals' => array( 'order', 'refund' ),
	);

	/** Order items that are looked through for one answer. */
	const SPAN = 100000;

	/**
	 * Slugs of attributes' terms before they are changed.
	 *
	 * @var array<int, string>
	 */
	private static $slugs = array();

	/**
	 * Pictures that were made in this request, and are shown nowhere yet.
	 *
	 * @var array<int, bool>
	 */
	private static $fresh = array();

	/**
	 * Tax classes before the settings are saved.
	 *
	 * @var string[]|null
	 */
	private static $tax_classes = null;

	/**
	 * Listen.
	 */
	public static function start() {
		foreach ( array( 'added_post_meta', 'updated_post_meta', 'deleted_post_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'meta' ), 999, 3 );
		}
		add_action( 'post_updated', array( __CLASS__, 'post_updated' ), 999, 3 );
		add_action( 'deleted_post', array( __CLASS__, 'post_deleted' ), 999, 2 );

		add_action( 'add_attachment', array( __CLASS__, 'picture_made' ), 999 );
		add_action( 'edit_attachment', array( __CLASS__, 'picture_changed' ), 999, 1 );
		add_action( 'delete_attachment', array( __CLASS__, 'picture_dying' ), 999 );

		add_action( 'edit_terms', array( __CLASS__, 'term_changing' ), 999, 2 );
		add_action( 'edited_term', array( __CLASS__, 'term_changed' ), 999, 3 );
		add_action( 'delete_term', array( __CLASS__, 'term_deleted' ), 999, 4 );
		add_action( 'woocommerce_attribute_updated', array( __CLASS__, 'attribute_changed' ), 999, 3 );
		add_action( 'woocommerce_attribute_deleted', array( __CLASS__, 'attribute_deleted' ), 999, 3 );

		add_action( 'woocommerce_rest_delete_tax', array( __CLASS__, 'tax_deleted' ), 999 );
		add_action( 'woocommerce_settings_save_tax', array( __CLASS__, 'tax_saving' ), -999 );
		add_action( 'woocommerce_update_options_tax', array( __CLASS__, 'tax_saved' ), 999 );
		add_action( 'added_option', array( __CLASS__, 'setting_changed' ), 999 );
		add_action( 'updated_option', array( __CLASS__, 'setting_changed' ), 999 );
	}

	/**
	 * A setting was changed: addresses, decimals and stock are shown by it.
	 *
	 * @param string $name Its name.
	 */
	public static function setting_changed( $name ) {
		self::any( self::SETTINGS[ $name ] ?? array(), current_action() );
	}

	/**
	 * Meta of a product or a picture was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $id      Id of the post.
	 * @param string    $key     The meta's key.
	 */
	public static function meta( $meta_id, $id, $key ) {
		if ( ! $id ) {
			return; // Of all posts that have it, whose meta was told one by one.
		}
		if ( in_array( $key, self::PICTURE, true ) ) {
			self::picture_changed( (int) $id, '_wp_attached_file' === $key );
		} elseif ( in_array( $key, self::SHOWN, true ) && in_array( get_post_type( (int) $id ), self::PRODUCTS, true ) ) {
			self::shown_otherwise( (int) $id, current_action() );
		}
	}

	/**
	 * A product was changed: items name the product of their variation.
	 *
	 * @param int      $id     Its id.
	 * @param \WP_Post $after  The post.
	 * @param \WP_Post $before The post as it was.
	 */
	public static function post_updated( $id, $after, $before ) {
		$moved   = 'product_variation' === $after->post_type && $after->post_parent !== $before->post_parent;
		$renamed = 'product' === $after->post_type && $after->post_title !== $before->post_title && self::has_variations( (int) $id );
		if ( $moved && $before->post_parent ) {
			Journal::write( 'product', (int) $before->post_parent, 'update', 'post_updated' );
		}
		if ( $moved || $renamed ) {
			self::shown_otherwise( (int) $id, 'post_updated' );
		}
	}

	/**
	 * A product was deleted for good: orders keep its items.
	 *
	 * @param int           $id   Its id.
	 * @param \WP_Post|null $post The post as it was.
	 */
	public static function post_deleted( $id, $post = null ) {
		if ( $post && in_array( $post->post_type, self::PRODUCTS, true ) ) {
			self::shown_otherwise( (int) $id, 'deleted_post' );
		}
	}

	/**
	 * Orders show something else of a product.
	 *
	 * @param int    $id     Id of the product or variation.
	 * @param string $source The hook.
	 */
	private static function shown_otherwise( $id, $source ) {
		if ( 'deleted_post' !== $source && ( Journal::is_new( 'product', $id ) || Journal::is_new( 'variation', $id ) ) ) {
			return; // No order names it yet, and one that does meanwhile has a row of its own.
		}
		Journal::write( self::TYPE, $id, 'update', $source );
	}

	/**
	 * Whether a product has variations.
	 *
	 * @param int $id Its id.
	 * @return bool
	 */
	private static function has_variations( $id ) {
		global $wpdb;
		return (bool) $wpdb->get_var( $wpdb->prepare( "SELECT ID FROM {$wpdb->posts} WHERE post_parent = %d AND post_type = 'product_variation' LIMIT 1", $id ) ); // phpcs:ignore WordPress.DB
	}

	/**
	 * Orders and refunds whose items name some products, in the order of the items.
	 *
	 * The items keep the ids of products that are gone.
	 *
	 * @param int[] $products Ids of products and variations.
	 * @param int   $after    Id of the last item that was looked at.
	 * @param int   $limit    Items that are found at most.
	 * @return array{orders: array[], next: int, more: bool}
	 */
	public static function orders_of( array $products, $after, $limit ) {
		global $wpdb;
		$items  = $wpdb->prefix . 'woocommerce_order_items';
		$meta   = $wpdb->prefix . 'woocommerce_order_itemmeta';
		$places = implode( ', ', array_fill( 0, count( $products ), '%s' ) );
		// phpcs:disable WordPress.DB
		$end   = (int) $wpdb->get_var( "SELECT MAX(order_item_id) FROM {$items}" );
		$until = min( $end, $after + self::SPAN );
		$found = (array) $wpdb->get_results(
			$wpdb->prepare(
				"SELECT i.order_item_id, i.order_id FROM {$meta} m JOIN {$items} i ON i.order_item_id = m.order_item_id
				WHERE m.meta_key IN ('_product_id', '_variation_id') AND m.meta_value IN ({$places})
				AND m.order_item_id > %d AND m.order_item_id <= %d ORDER BY m.order_item_id LIMIT %d",
				array_merge( array_map( 'strval', $products ), array( $after, $until, $limit ) )
			),
			ARRAY_A
		);
		// phpcs:enable
		if ( count( $found ) === $limit ) {
			$until = (int) end( $found )['order_item_id'];
		}
		return array(
			'orders' => self::described( array_unique( array_map( 'intval', array_column( $found, 'order_id' ) ) ) ),
			'next'   => max( $after, $until ),
			'more'   => $until < $end,
		);
	}

	/**
	 * Orders as they are told: which of them are refunds, and whose.
	 *
	 * @param int[] $ids Ids of orders and refunds.
	 * @return array[]
	 */
	private static function described( array $ids ) {
		global $wpdb;
		if ( ! $ids ) {
			return array();
		}
		$util  = '\Automattic\WooCommerce\Utilities\OrderUtil';
		$own   = is_callable( array( $util, 'custom_orders_table_usage_is_enabled' ) ) && $util::custom_orders_table_usage_is_enabled();
		$query = $own ? "SELECT id, type, parent_order_id AS parent FROM {$wpdb->prefix}wc_orders WHERE id" : "SELECT ID AS id, post_type AS type, post_parent AS parent FROM {$wpdb->posts} WHERE ID";
		$rows  = (array) $wpdb->get_results( "{$query} IN (" . implode( ', ', $ids ) . ')', ARRAY_A ); // phpcs:ignore WordPress.DB
		return array_map(
			function ( $row ) {
				$refund = 'shop_order_refund' === $row['type'];
				return array(
					'id'     => (int) $row['id'],
					'type'   => $refund ? 'refund' : 'order',
					'parent' => $refund ? (int) $row['parent'] : 0,
				);
			},
			$rows
		);
	}

	/**
	 * A picture was made.
	 *
	 * @param int $id Its id.
	 */
	public static function picture_made( $id ) {
		if ( count( self::$fresh ) > 1000 ) {
			self::$fresh = array();
		}
		self::$fresh[ (int) $id ] = true;
	}

	/**
	 * A picture was changed, and with it what shows it.
	 *
	 * @param int  $id    Its id.
	 * @param bool $moved Whether its address changed, all that orders show of it.
	 */
	public static function picture_changed( $id, $moved = false ) {
		if ( ! isset( self::$fresh[ (int) $id ] ) && 'attachment' === get_post_type( (int) $id ) ) {
			self::picture( (int) $id, true === $moved, current_action() );
		}
	}

	/**
	 * A picture is about to be deleted; that it is nobody's any more is written by one statement.
	 *
	 * @param int $id Its id.
	 */
	public static function picture_dying( $id ) {
		unset( self::$fresh[ (int) $id ] );
		self::picture( (int) $id, true, 'delete_attachment' );
	}

	/**
	 * What shows a picture shows something else.
	 *
	 * @param int    $id     Id of the picture.
	 * @param bool   $moved  Whether orders show something else too.
	 * @param string $source The hook.
	 */
	private static function picture( $id, $moved, $source ) {
		global $wpdb;
		$most = Journal::ONE_BY_ONE + 1;
		$of   = "SELECT p.ID, p.post_type, p.post_parent, m.meta_key FROM {$wpdb->postmeta} m JOIN {$wpdb->posts} p ON p.ID = m.post_id AND p.post_type IN ('product', 'product_variation')";
		// phpcs:disable WordPress.DB
		$posts      = (array) $wpdb->get_results( $wpdb->prepare( "{$of} WHERE m.meta_key = '_thumbnail_id' AND m.meta_value = %s LIMIT %d", (string) $id, $most ) );
		$posts      = array_merge( $posts, (array) $wpdb->get_results( $wpdb->prepare( "{$of} WHERE m.meta_key = '_product_image_gallery' AND FIND_IN_SET(%s, m.meta_value) LIMIT %d", (string) $id, $most ) ) );
		$categories = (array) $wpdb->get_col( $wpdb->prepare( "SELECT term_id FROM {$wpdb->termmeta} WHERE meta_key = 'thumbnail_id' AND meta_value = %s LIMIT %d", (string) $id, $most ) );
		// phpcs:enable
		foreach ( $categories as $category ) {
			Journal::write( 'product_category', (int) $category, 'update', $source );
		}
		if ( count( $posts ) > Journal::ONE_BY_ONE ) {
			self::any( $moved ? array( 'product', 'variation', 'order', 'refund' ) : array( 'product', 'variation' ), $source );
			return;
		}
		foreach ( $posts as $post ) {
			Journal::write( 'product' === $post->post_type ? 'product' : 'variation', (int) $post->ID, 'update', $source, (int) $post->post_parent );
			if ( $moved && '_thumbnail_id' === $post->meta_key ) {
				self::shown_otherwise( (int) $post->ID, $source );
			}
		}
	}

	/**
	 * A term is about to be changed.
	 *
	 * @param int    $id       Its id.
	 * @param string $taxonomy Its taxonomy.
	 */
	public static function term_changing( $id, $taxonomy ) {
		$term = self::is_attribute( $taxonomy ) ? get_term( $id, $taxonomy ) : null;
		if ( $term instanceof \WP_Term ) {
			self::$slugs[ (int) $id ] = $term->slug;
		}
	}

	/**
	 * A term was changed: orders and variations know it by its slug, and show its name.
	 *
	 * @param int    $id       Its id.
	 * @param int    $tt_id    Its id in the taxonomy.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_changed( $id, $tt_id, $taxonomy ) {
		if ( isset( self::$slugs[ (int) $id ] ) ) {
			self::orders_with( $taxonomy, self::$slugs[ (int) $id ], 'edited_term' );
			unset( self::$slugs[ (int) $id ] );
		}
	}

	/**
	 * A term was deleted.
	 *
	 * @param int      $id       Its id.
	 * @param int      $tt_id    Its id in the taxonomy.
	 * @param string   $taxonomy The taxonomy.
	 * @param \WP_Term $term     The term as it was.
	 */
	public static function term_deleted( $id, $tt_id, $taxonomy, $term = null ) {
		if ( self::is_attribute( $taxonomy ) && $term instanceof \WP_Term ) {
			self::any( array( 'variation' ), 'delete_term' );
			self::orders_with( $taxonomy, $term->slug, 'delete_term' );
		}
	}

	/**
	 * Whether the terms of a taxonomy are values of an attribute.
	 *
	 * @param string $taxonomy The taxonomy.
	 * @return bool
	 */
	private static function is_attribute( $taxonomy ) {
		return 0 === strpos( $taxonomy, 'pa_' );
	}

	/**
	 * An attribute was changed: products, variations and orders show its name.
	 *
	 * @param int    $id   Its id.
	 * @param array  $data What it is now.
	 * @param string $old  Its slug as it was.
	 */
	public static function attribute_changed( $id, $data, $old = '' ) {
		self::any( array( 'product', 'variation' ), 'woocommerce_attribute_updated' );
		foreach ( array_unique( array_filter( array( $old, $data['attribute_name'] ?? '' ) ) ) as $slug ) {
			self::orders_with( 'pa_' . $slug, null, 'woocommerce_attribute_updated' );
		}
	}

	/**
	 * An attribute was deleted.
	 *
	 * @param int    $id       Its id.
	 * @param string $name     Its slug.
	 * @param string $taxonomy The taxonomy of its values.
	 */
	public static function attribute_deleted( $id, $name, $taxonomy ) {
		self::any( array( 'product', 'variation' ), 'woocommerce_attribute_deleted' );
		self::orders_with( $taxonomy, null, 'woocommerce_attribute_deleted' );
	}

	/**
	 * A tax class, or a rate, was deleted through the REST API.
	 *
	 * @param object $tax What it was.
	 */
	public static function tax_deleted( $tax ) {
		if ( is_object( $tax ) && isset( $tax->slug ) ) {
			self::tax_class_deleted( $tax->slug );
		}
	}

	/**
	 * The settings of taxes are about to be saved.
	 */
	public static function tax_saving() {
		self::$tax_classes = class_exists( 'WC_Tax' ) ? \WC_Tax::get_tax_class_slugs() : null;
	}

	/**
	 * The settings of taxes were saved.
	 */
	public static function tax_saved() {
		if ( null !== self::$tax_classes ) {
			array_map( array( __CLASS__, 'tax_class_deleted' ), array_diff( self::$tax_classes, \WC_Tax::get_tax_class_slugs() ) );
			self::$tax_classes = null;
		}
	}

	/**
	 * A tax class is gone: what had it shows none.
	 *
	 * @param string $slug Its slug.
	 */
	private static function tax_class_deleted( $slug ) {
		self::any( array( 'product', 'variation' ), current_action() );
		self::orders_with( '_tax_class', $slug, current_action() );
	}

	/**
	 * Orders and refunds with such meta in an item show something else.
	 *
	 * @param string      $key    The meta's key.
	 * @param string|null $value  Its value; null for any.
	 * @param string      $source The hook.
	 */
	private static function orders_with( $key, $value, $source ) {
		global $wpdb;
		$tables = "{$wpdb->prefix}woocommerce_order_itemmeta m JOIN {$wpdb->prefix}woocommerce_order_items i ON i.order_item_id = m.order_item_id";
		$wanted = null === $value ? $wpdb->prepare( 'm.meta_key = %s', $key ) : $wpdb->prepare( 'm.meta_key = %s AND m.meta_value = %s', $key, $value );
		// Without WooCommerce the tables may not be there.
		$suppressed = $wpdb->suppress_errors( true );

		$ids = (array) $wpdb->get_col( "SELECT DISTINCT i.order_id FROM {$tables} WHERE {$wanted} LIMIT " . ( Journal::ONE_BY_ONE + 1 ) ); // phpcs:ignore WordPress.DB
		$wpdb->suppress_errors( $suppressed );
		if ( count( $ids ) > Journal::ONE_BY_ONE ) {
			self::any( array( 'order', 'refund' ), $source );
			return;
		}
		foreach ( self::described( array_map( 'intval', $ids ) ) as $order ) {
			Journal::write( $order['type'], $order['id'], 'update', $source, $order['parent'] );
		}
	}

	/**
	 * Any objects of some types may show something else.
	 *
	 * @param string[] $types  The types.
	 * @param string   $source The hook.
	 */
	private static function any( array $types, $source ) {
		foreach ( $types as $type ) {
			Journal::write( $type, 0, 'update', $source );
		}
	}
}
