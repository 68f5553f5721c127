<?php
/**
 * The use watcher: records changes of objects that other objects show, for which WooCommerce has no hook.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to changes of products, images, attributes and tax classes that also change other objects.
 *
 * An order shows the SKU and the image of its products, the name of a variation's product, and
 * whether a product was deleted. Finding the orders of a product means reading all order items, so
 * it is not done here: the row names the product, and the reader then requests the orders of many
 * products together.
 */
class Use_Watcher {

	/** Type in the journal of a product that orders now show differently. */
	const TYPE = 'product_in_orders';

	/** Post types that order items name. */
	const PRODUCTS = array( 'product', 'product_variation' );

	/** Meta keys of products that orders show. */
	const SHOWN = array( '_sku', '_thumbnail_id', '_global_unique_id', '_virtual', '_downloadable' );

	/** Meta keys of images that products and categories show. */
	const IMAGE = array( '_wp_attachment_image_alt', '_wp_attached_file' );

	/** Meta keys of products that show whether the product is on sale. */
	const SALE = array( '_regular_price', '_sale_price', '_price', '_sale_price_dates_from', '_sale_price_dates_to' );

	/** Settings that change how the REST API shows objects, and the types of these objects. */
	const SETTINGS = array(
		'home'                           => array( 'product', 'variation', 'order', 'refund', 'product_category' ),
		'siteurl'                        => array( 'product', 'variation', 'order', 'refund', 'product_category' ),
		'upload_url_path'                => array( 'product', 'variation', 'order', 'refund', 'product_category' ),
		'woocommerce_manage_stock'       => array( 'product', 'variation' ),
		'woocommerce_price_num_decimals' => array( 'order', 'refund' ),
		'woocommerce_feature_cost_of_goods_sold_enabled' => array( 'product', 'variation', 'order', 'refund' ),
		'show_avatars'                   => array( 'product_review', 'customer' ),
		'avatar_default'                 => array( 'product_review', 'customer' ),
		'avatar_rating'                  => array( 'product_review', 'customer' ),
		'permalink_structure'            => array( 'product_review' ),
		'woocommerce_permalinks'         => array( 'product_review' ),
	);

	/** Order items that are searched for one response. */
	const SPAN = 100000;

	/**
	 * Slugs of attribute terms before they are changed, by term id.
	 *
	 * @var array<int, string>
	 */
	private static $slugs = array();

	/**
	 * Images that were created in this request, and are not used anywhere yet.
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
	 * Register the hooks.
	 */
	public static function start() {
		foreach ( array( 'added_post_meta', 'updated_post_meta', 'deleted_post_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'meta' ), 999, 3 );
		}
		add_action( 'post_updated', array( __CLASS__, 'post_updated' ), 999, 3 );
		add_filter( 'wp_update_attachment_metadata', array( __CLASS__, 'image_resized' ), 999, 2 );
		add_action( 'deleted_post', array( __CLASS__, 'post_deleted' ), 999, 2 );

		add_action( 'add_attachment', array( __CLASS__, 'image_created' ), 999 );
		add_action( 'edit_attachment', array( __CLASS__, 'image_changed' ), 999, 1 );
		add_action( 'delete_attachment', array( __CLASS__, 'image_deleting' ), 999 );

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
	 * Record a changed setting on which addresses, decimals or stock depend.
	 *
	 * @param string $name Name of the setting.
	 */
	public static function setting_changed( $name ) {
		self::any( self::SETTINGS[ $name ] ?? array(), current_action() );
	}

	/**
	 * Record the products that show an image whose thumbnails were made anew: they list its sizes.
	 *
	 * @param array $data The sizes.
	 * @param int   $id   Id of the image.
	 * @return array The unchanged sizes.
	 */
	public static function image_resized( $data, $id ) {
		self::image_changed( (int) $id );
		return $data;
	}

	/**
	 * Record a product or image whose meta was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $id      Id of the post.
	 * @param string    $key     The meta's key.
	 */
	public static function meta( $meta_id, $id, $key ) {
		if ( ! $id ) {
			return; // The meta of all posts; each post was recorded by Post_Watcher::meta_deleting().
		}
		if ( in_array( $key, self::IMAGE, true ) ) {
			self::image_changed( (int) $id, '_wp_attached_file' === $key );
		} elseif ( in_array( $key, self::SHOWN, true ) && in_array( get_post_type( (int) $id ), self::PRODUCTS, true ) ) {
			self::write_shown_product( (int) $id, current_action() );
		} elseif ( '_product_attributes' === $key && self::has_variations( (int) $id ) ) {
			// Items of orders show the names of a product's own attributes.
			self::write_shown_product( (int) $id, current_action() );
		} elseif ( in_array( $key, self::SALE, true ) && in_array( get_post_type( (int) $id ), self::PRODUCTS, true ) ) {
			self::grouped( (int) $id, current_action() );
		}
	}

	/**
	 * Write rows for the grouped products of a product: they are on sale if one of their products is.
	 *
	 * @param int    $id     Id of the product.
	 * @param string $source The hook.
	 */
	private static function grouped( $id, $source ) {
		global $wpdb;
		$parent = wp_get_post_parent_id( $id );
		$ids    = array_unique( array_filter( array( (int) $id, (int) $parent ) ) );
		if ( Journal::is_new( 'product', $id ) ) {
			return;
		}
		foreach ( $ids as $child ) {
			// Serialized ids: a number, whatever its position.
			$found = (array) $wpdb->get_results( $wpdb->prepare( "SELECT post_id, meta_value FROM {$wpdb->postmeta} WHERE meta_key = '_children' AND meta_value LIKE %s LIMIT %d", '%' . $wpdb->esc_like( (string) $child ) . '%', Journal::ONE_BY_ONE + 1 ) ); // phpcs:ignore WordPress.DB
			if ( count( $found ) > Journal::ONE_BY_ONE ) {
				self::any( array( 'product' ), $source );
				return;
			}
			foreach ( $found as $row ) {
				if ( in_array( $child, array_map( 'intval', (array) maybe_unserialize( $row->meta_value ) ), true ) ) {
					Journal::write( 'product', (int) $row->post_id, 'update', $source );
				}
			}
		}
	}

	/**
	 * Record a renamed product or moved variation, because order items show the product of their variation.
	 *
	 * @param int      $id     Id of the post.
	 * @param \WP_Post $after  The post.
	 * @param \WP_Post $before The post before the change.
	 */
	public static function post_updated( $id, $after, $before ) {
		$moved   = 'product_variation' === $after->post_type && $after->post_parent !== $before->post_parent;
		$renamed = 'product' === $after->post_type && $after->post_title !== $before->post_title && self::has_variations( (int) $id );
		if ( $moved && $before->post_parent ) {
			Journal::write( 'product', (int) $before->post_parent, 'update', 'post_updated' );
		}
		if ( $moved || $renamed ) {
			self::write_shown_product( (int) $id, 'post_updated' );
		}
		if ( 'product' === $after->post_type && array( $after->post_title, $after->post_name ) !== array( $before->post_title, $before->post_name ) ) {
			Comment_Watcher::product_renamed( (int) $id );
		}
	}

	/**
	 * Record a permanently deleted product, whose items are kept by orders.
	 *
	 * @param int           $id   Id of the post.
	 * @param \WP_Post|null $post The post before it was deleted.
	 */
	public static function post_deleted( $id, $post = null ) {
		if ( $post && in_array( $post->post_type, self::PRODUCTS, true ) ) {
			self::write_shown_product( (int) $id, 'deleted_post' );
		}
	}

	/**
	 * Write a row for a product that orders now show differently.
	 *
	 * @param int    $id     Id of the product or variation.
	 * @param string $source The hook.
	 */
	private static function write_shown_product( $id, $source ) {
		if ( 'deleted_post' !== $source && ( Journal::is_new( 'product', $id ) || Journal::is_new( 'variation', $id ) ) ) {
			return; // No order names it yet. An order that does from now on has its own row.
		}
		Journal::write( self::TYPE, $id, 'update', $source );
	}

	/**
	 * Return whether a product has variations.
	 *
	 * @param int $id Id of the product.
	 * @return bool
	 */
	private static function has_variations( $id ) {
		global $wpdb;
		return (bool) $wpdb->get_var( $wpdb->prepare( "SELECT ID FROM {$wpdb->posts} WHERE post_parent = %d AND post_type = 'product_variation' LIMIT 1", $id ) ); // phpcs:ignore WordPress.DB
	}

	/**
	 * Return the orders and refunds whose items name some products, in the order of the items.
	 *
	 * The items keep the ids of deleted products.
	 *
	 * @param int[] $products Ids of products and variations.
	 * @param int   $after    Id of the last item that was searched.
	 * @param int   $limit    Maximum number of items to find.
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
	 * Return orders in the form of the REST API: which of them are refunds, and their parents.
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
	 * Remember a new image.
	 *
	 * @param int $id Id of the image.
	 */
	public static function image_created( $id ) {
		if ( count( self::$fresh ) > 1000 ) {
			self::$fresh = array();
		}
		self::$fresh[ (int) $id ] = true;
	}

	/**
	 * Record the objects that show a changed image.
	 *
	 * @param int  $id    Id of the image.
	 * @param bool $moved Whether its address changed, which is all that orders show.
	 */
	public static function image_changed( $id, $moved = false ) {
		if ( ! isset( self::$fresh[ (int) $id ] ) && 'attachment' === get_post_type( (int) $id ) ) {
			self::image( (int) $id, true === $moved, current_action() );
		}
	}

	/**
	 * Record the objects that show an image that is about to be deleted. WordPress removes it from them with one SQL statement.
	 *
	 * @param int $id Id of the image.
	 */
	public static function image_deleting( $id ) {
		unset( self::$fresh[ (int) $id ] );
		self::image( (int) $id, true, 'delete_attachment' );
	}

	/**
	 * Write rows for the objects that show an image.
	 *
	 * @param int    $id     Id of the image.
	 * @param bool   $moved  Whether orders also show it differently.
	 * @param string $source The hook.
	 */
	private static function image( $id, $moved, $source ) {
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
				self::write_shown_product( (int) $post->ID, $source );
			}
		}
	}

	/**
	 * Remember the slug of an attribute term that is about to be changed.
	 *
	 * @param int    $id       Id of the term.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_changing( $id, $taxonomy ) {
		$term = self::is_attribute( $taxonomy ) ? get_term( $id, $taxonomy ) : null;
		if ( $term instanceof \WP_Term ) {
			self::$slugs[ (int) $id ] = $term->slug;
		}
	}

	/**
	 * Record the orders with a changed attribute term: they store its slug, and show its name.
	 *
	 * @param int    $id       Id of the term.
	 * @param int    $tt_id    Term taxonomy id.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_changed( $id, $tt_id, $taxonomy ) {
		if ( isset( self::$slugs[ (int) $id ] ) ) {
			self::orders_with( $taxonomy, self::$slugs[ (int) $id ], 'edited_term' );
			unset( self::$slugs[ (int) $id ] );
		}
	}

	/**
	 * Record the variations and orders with a deleted attribute term.
	 *
	 * @param int      $id       Id of the term.
	 * @param int      $tt_id    Term taxonomy id.
	 * @param string   $taxonomy The taxonomy.
	 * @param \WP_Term $term     The term before it was deleted.
	 */
	public static function term_deleted( $id, $tt_id, $taxonomy, $term = null ) {
		if ( self::is_attribute( $taxonomy ) && $term instanceof \WP_Term ) {
			self::any( array( 'variation' ), 'delete_term' );
			self::orders_with( $taxonomy, $term->slug, 'delete_term' );
		}
	}

	/**
	 * Return whether the terms of a taxonomy are values of an attribute.
	 *
	 * @param string $taxonomy The taxonomy.
	 * @return bool
	 */
	private static function is_attribute( $taxonomy ) {
		return 0 === strpos( $taxonomy, 'pa_' );
	}

	/**
	 * Record a changed attribute, whose name products, variations and orders show.
	 *
	 * @param int    $id   Id of the attribute.
	 * @param array  $data The new data.
	 * @param string $old  The old slug.
	 */
	public static function attribute_changed( $id, $data, $old = '' ) {
		self::any( array( 'product', 'variation' ), 'woocommerce_attribute_updated' );
		foreach ( array_unique( array_filter( array( $old, $data['attribute_name'] ?? '' ) ) ) as $slug ) {
			self::orders_with( 'pa_' . $slug, null, 'woocommerce_attribute_updated' );
		}
	}

	/**
	 * Record a deleted attribute.
	 *
	 * @param int    $id       Id of the attribute.
	 * @param string $name     Slug of the attribute.
	 * @param string $taxonomy The taxonomy of its values.
	 */
	public static function attribute_deleted( $id, $name, $taxonomy ) {
		self::any( array( 'product', 'variation' ), 'woocommerce_attribute_deleted' );
		self::orders_with( $taxonomy, null, 'woocommerce_attribute_deleted' );
	}

	/**
	 * Record a tax class or rate that was deleted with the REST API.
	 *
	 * @param object $tax The deleted object.
	 */
	public static function tax_deleted( $tax ) {
		if ( is_object( $tax ) && isset( $tax->slug ) ) {
			self::tax_class_deleted( $tax->slug );
		}
	}

	/**
	 * Remember the tax classes before the tax settings are saved.
	 */
	public static function tax_saving() {
		self::$tax_classes = class_exists( 'WC_Tax' ) ? \WC_Tax::get_tax_class_slugs() : null;
	}

	/**
	 * Record the tax classes that were removed from the tax settings.
	 */
	public static function tax_saved() {
		if ( null !== self::$tax_classes ) {
			array_map( array( __CLASS__, 'tax_class_deleted' ), array_diff( self::$tax_classes, \WC_Tax::get_tax_class_slugs() ) );
			self::$tax_classes = null;
		}
	}

	/**
	 * Write rows for the objects with a deleted tax class.
	 *
	 * @param string $slug Slug of the tax class.
	 */
	private static function tax_class_deleted( $slug ) {
		self::any( array( 'product', 'variation' ), current_action() );
		self::orders_with( '_tax_class', $slug, current_action() );
	}

	/**
	 * Write rows for the orders and refunds that have an item with some meta.
	 *
	 * @param string      $key    The meta's key.
	 * @param string|null $value  The meta's value; null for any.
	 * @param string      $source The hook.
	 */
	private static function orders_with( $key, $value, $source ) {
		global $wpdb;
		$tables = "{$wpdb->prefix}woocommerce_order_itemmeta m JOIN {$wpdb->prefix}woocommerce_order_items i ON i.order_item_id = m.order_item_id";
		$wanted = null === $value ? $wpdb->prepare( 'm.meta_key = %s', $key ) : $wpdb->prepare( 'm.meta_key = %s AND m.meta_value = %s', $key, $value );
		// Without WooCommerce the tables may not exist.
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
	 * Write that any object of some types may have changed.
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
