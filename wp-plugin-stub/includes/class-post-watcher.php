<?php
/**
 * The post watcher: records changes of products, variations, coupons, and orders that are posts.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to WordPress's hooks for posts and their meta, and to WooCommerce's hooks for the same objects.
 */
class Post_Watcher {

	/** Post types and their types in the journal. */
	const TYPES = array(
		'product'              => 'product',
		'product_variation'    => 'variation',
		'shop_coupon'          => 'coupon',
		'shop_order'           => 'order',
		'shop_order_refund'    => 'refund',
		// Reserves the id of an order or refund in WooCommerce's own tables.
		'shop_order_placehold' => 'order_or_refund',
	);

	/** Taxonomies whose terms the REST API lists. */
	const TAXONOMIES = array(
		'product_cat'            => 'product_category',
		'product_tag'            => 'product_tag',
		'product_shipping_class' => 'product_shipping_class',
	);

	/** Meta keys that the REST API never shows. */
	const HIDDEN_META = array( '_edit_lock', '_edit_last', '_wp_old_slug', '_wp_old_date', '_wp_trash_meta_status', '_wp_trash_meta_time', '_wp_trash_meta_comments_status', '_wp_desired_post_slug' );

	/**
	 * Register the hooks.
	 */
	public static function start() {
		add_action( 'save_post', array( __CLASS__, 'saved' ), 999, 3 );
		add_action( 'trashed_post', array( __CLASS__, 'trashed' ), 999 );
		add_action( 'untrashed_post', array( __CLASS__, 'untrashed' ), 999 );
		add_action( 'before_delete_post', array( __CLASS__, 'deleting' ), -999, 2 );
		add_action( 'deleted_post', array( __CLASS__, 'deleted' ), 999, 2 );
		foreach ( array( 'added_post_meta', 'updated_post_meta', 'deleted_post_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'meta' ), 999, 3 );
		}
		add_action( 'delete_post_meta', array( __CLASS__, 'meta_deleting' ), 999, 3 );
		add_action( 'set_object_terms', array( __CLASS__, 'terms_set' ), 999, 6 );
		add_action( 'deleted_term_relationships', array( __CLASS__, 'terms_removed' ), 999, 3 );

		$operations = array(
			'new'    => 'create',
			'update' => 'update',
			'trash'  => 'trash',
			'delete' => 'delete',
		);
		$types      = array(
			'product'           => 'product',
			'product_variation' => 'variation',
			'coupon'            => 'coupon',
		);
		foreach ( $operations as $word => $operation ) {
			foreach ( $types as $name => $type ) {
				self::on( "woocommerce_{$word}_{$name}", $type, $operation );
			}
		}
		foreach ( array( 'set_stock', 'set_stock_status' ) as $word ) {
			self::on( "woocommerce_product_{$word}", 'product', 'update' );
			self::on( "woocommerce_variation_{$word}", 'variation', 'update' );
		}
		foreach ( array( 'woocommerce_updated_product_stock', 'woocommerce_updated_product_sales', 'woocommerce_updated_product_price' ) as $hook ) {
			self::on( $hook, '', 'update' );
		}
		add_filter( 'woocommerce_update_product_stock_query', array( __CLASS__, 'stock_query' ), 999, 2 );
		self::on( 'woocommerce_increase_coupon_usage_count', 'coupon', 'update' );
		self::on( 'woocommerce_decrease_coupon_usage_count', 'coupon', 'update' );

		add_action( 'created_term', array( __CLASS__, 'term_created' ), 999, 3 );
		add_action( 'edited_term', array( __CLASS__, 'term_edited' ), 999, 3 );
		add_action( 'delete_term', array( __CLASS__, 'term_deleted' ), 999, 3 );
		add_action( 'edited_term_taxonomy', array( __CLASS__, 'term_counted' ), 999, 2 );
		add_action( 'edited_term_taxonomies', array( __CLASS__, 'terms_moved' ), 999 );
		foreach ( array( 'added_term_meta', 'updated_term_meta', 'deleted_term_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'term_meta' ), 999, 2 );
		}
	}

	/**
	 * Register a hook whose first argument is a WooCommerce object or its id.
	 *
	 * @param string $hook      Name of the hook.
	 * @param string $type      Type of the object; empty for a product or variation.
	 * @param string $operation The operation.
	 */
	private static function on( $hook, $type, $operation ) {
		add_action(
			$hook,
			function ( $subject ) use ( $hook, $type, $operation ) {
				$id = is_object( $subject ) && is_callable( array( $subject, 'get_id' ) ) ? $subject->get_id() : $subject;
				if ( ! is_numeric( $id ) || $id < 1 ) {
					return;
				}
				$post = '' === $type || 'variation' === $type ? get_post( (int) $id ) : null;
				$kind = $type;
				if ( '' === $kind ) {
					$kind = $post ? self::type_of( $post->post_type ) : '';
				}
				if ( '' !== $kind ) {
					Journal::write( $kind, (int) $id, $operation, $hook, $post ? (int) $post->post_parent : 0 );
				}
			},
			999
		);
	}

	/**
	 * Return the type in the journal of a post type; empty if it is not recorded.
	 *
	 * @param string|false $post_type The post type.
	 * @return string
	 */
	private static function type_of( $post_type ) {
		return self::TYPES[ (string) $post_type ] ?? '';
	}

	/**
	 * Record a saved post.
	 *
	 * @param int      $id     Id of the post.
	 * @param \WP_Post $post   The post.
	 * @param bool     $update Whether it existed before.
	 */
	public static function saved( $id, $post, $update ) {
		$type = self::type_of( $post->post_type );
		// The trash has its own hooks, and a placeholder does not show a change of its order.
		if ( '' === $type || 'order_or_refund' === $type || in_array( $post->post_status, array( 'auto-draft', 'trash' ), true ) ) {
			return;
		}
		Journal::write( $type, $id, $update ? 'update' : 'create', 'save_post', $post->post_parent );
	}

	/**
	 * Record a post that was moved to the trash.
	 *
	 * @param int $id Id of the post.
	 */
	public static function trashed( $id ) {
		self::moved( $id, 'trash', 'trashed_post' );
	}

	/**
	 * Record a post that was restored from the trash.
	 *
	 * @param int $id Id of the post.
	 */
	public static function untrashed( $id ) {
		self::moved( $id, 'restore', 'untrashed_post' );
	}

	/**
	 * Write a row for a post that was trashed or restored.
	 *
	 * @param int    $id        Id of the post.
	 * @param string $operation trash or restore.
	 * @param string $source    The hook.
	 */
	private static function moved( $id, $operation, $source ) {
		$post = get_post( $id );
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' !== $type && 'order_or_refund' !== $type ) {
			Journal::write( $type, $id, $operation, $source, $post->post_parent );
		}
	}

	/**
	 * Remember a post that is about to be deleted. Its meta is deleted first.
	 *
	 * @param int           $id   Id of the post.
	 * @param \WP_Post|null $post The post.
	 */
	public static function deleting( $id, $post = null ) {
		$post = $post ? $post : get_post( $id );
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' !== $type ) {
			Journal::deleting( $type, $id );
		}
	}

	/**
	 * Record a permanently deleted post.
	 *
	 * @param int           $id   Id of the post.
	 * @param \WP_Post|null $post The post before it was deleted.
	 */
	public static function deleted( $id, $post = null ) {
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' !== $type ) {
			Journal::write( $type, $id, 'delete', 'deleted_post', $post->post_parent );
		}
	}

	/**
	 * Record a post whose meta was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $id      Id of the post.
	 * @param string    $key     The meta's key.
	 */
	public static function meta( $meta_id, $id, $key ) {
		if ( ! $id || in_array( $key, self::HIDDEN_META, true ) ) {
			return;
		}
		$post = get_post( $id );
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' === $type || 'order_or_refund' === $type || in_array( $post->post_status, array( 'auto-draft', 'trash' ), true ) ) {
			return;
		}
		Journal::write( $type, $id, 'update', current_action(), $post->post_parent );
	}

	/**
	 * Record meta that is about to be deleted from all posts at once, because no later hook names them.
	 *
	 * @param int[]    $meta_ids Ids of the meta.
	 * @param int|null $id       Id of the post, if it concerns a single one.
	 * @param string   $key      The meta's key.
	 */
	public static function meta_deleting( $meta_ids, $id, $key ) {
		if ( $id || in_array( $key, self::HIDDEN_META, true ) ) {
			return;
		}
		$posts = Journal::owners( 'post', (array) $meta_ids );
		if ( null === $posts ) {
			foreach ( array( 'product', 'variation', 'coupon', 'order', 'refund' ) as $type ) {
				Journal::write( $type, 0, 'update', 'delete_post_meta' );
			}
			return;
		}
		foreach ( $posts as $post ) {
			self::meta( array(), $post, $key );
			Use_Watcher::meta( array(), $post, $key );
		}
	}

	/**
	 * Record an object whose terms were set, if they differ from before.
	 *
	 * @param int    $id       Id of the object.
	 * @param array  $terms    The terms.
	 * @param array  $tt_ids   Term taxonomy ids that it has now.
	 * @param string $taxonomy The taxonomy.
	 * @param bool   $append   Whether the old terms are kept.
	 * @param array  $old      Term taxonomy ids that it had.
	 */
	public static function terms_set( $id, $terms, $tt_ids, $taxonomy, $append, $old ) {
		$new = array_map( 'intval', (array) $tt_ids );
		$old = array_map( 'intval', (array) $old );
		sort( $new );
		sort( $old );
		if ( $append ? array_diff( $new, $old ) : $new !== $old ) {
			self::assigned( $id, 'set_object_terms' );
		}
	}

	/**
	 * Record an object from which terms were removed.
	 *
	 * @param int    $id       Id of the object.
	 * @param array  $tt_ids   Term taxonomy ids.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function terms_removed( $id, $tt_ids, $taxonomy ) {
		self::assigned( $id, 'deleted_term_relationships' );
	}

	/**
	 * Write a row for a product or variation whose terms changed.
	 *
	 * @param int    $id     Id of the post.
	 * @param string $source The hook.
	 */
	private static function assigned( $id, $source ) {
		$post = get_post( $id );
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( in_array( $type, array( 'product', 'variation' ), true ) && ! in_array( $post->post_status, array( 'auto-draft', 'trash' ), true ) ) {
			Journal::write( $type, $id, 'update', $source, $post->post_parent );
		}
	}

	/**
	 * Record stock that is about to be written by an SQL statement.
	 *
	 * @param string $sql The statement.
	 * @param int    $id  Id of the product or variation.
	 * @return string The unchanged statement.
	 */
	public static function stock_query( $sql, $id ) {
		$post = get_post( $id );
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' !== $type ) {
			Journal::write( $type, $id, 'update', 'woocommerce_update_product_stock_query', $post->post_parent );
		}
		return $sql;
	}

	/**
	 * Record a new term.
	 *
	 * @param int    $term_id  Id of the term.
	 * @param int    $tt_id    Term taxonomy id.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_created( $term_id, $tt_id, $taxonomy ) {
		self::term( $term_id, $taxonomy, 'create', 'created_term' );
	}

	/**
	 * Record a changed term. Any product may show its name, and any variation that of some taxonomies.
	 *
	 * @param int    $term_id  Id of the term.
	 * @param int    $tt_id    Term taxonomy id.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_edited( $term_id, $tt_id, $taxonomy ) {
		self::term( $term_id, $taxonomy, 'update', 'edited_term' );
		if ( 0 === strpos( $taxonomy, 'product_' ) || 0 === strpos( $taxonomy, 'pa_' ) ) {
			Journal::write( 'product', 0, 'update', 'edited_term' );
		}
		if ( 'product_shipping_class' === $taxonomy || 0 === strpos( $taxonomy, 'pa_' ) ) {
			Journal::write( 'variation', 0, 'update', 'edited_term' );
		}
	}

	/**
	 * Record a deleted term.
	 *
	 * @param int    $term_id  Id of the term.
	 * @param int    $tt_id    Term taxonomy id.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_deleted( $term_id, $tt_id, $taxonomy ) {
		self::term( $term_id, $taxonomy, 'delete', 'delete_term' );
	}

	/**
	 * Record a term whose objects were counted.
	 *
	 * @param int              $tt_id    Term taxonomy id.
	 * @param string|\stdClass $taxonomy The taxonomy.
	 */
	public static function term_counted( $tt_id, $taxonomy ) {
		$name = is_object( $taxonomy ) ? (string) $taxonomy->name : (string) $taxonomy;
		$term = isset( self::TAXONOMIES[ $name ] ) ? get_term_by( 'term_taxonomy_id', $tt_id, $name ) : null;
		if ( $term instanceof \WP_Term ) {
			self::term( $term->term_id, $name, 'update', 'edited_term_taxonomy' );
		}
	}

	/**
	 * Record terms whose parent was deleted.
	 *
	 * @param int[] $tt_ids Their term taxonomy ids.
	 */
	public static function terms_moved( $tt_ids ) {
		foreach ( (array) $tt_ids as $tt_id ) {
			$term = get_term_by( 'term_taxonomy_id', (int) $tt_id );
			if ( $term instanceof \WP_Term ) {
				self::term( $term->term_id, $term->taxonomy, 'update', 'edited_term_taxonomies' );
			}
		}
	}

	/**
	 * Record a term whose meta was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $term_id Id of the term.
	 */
	public static function term_meta( $meta_id, $term_id ) {
		$term = get_term( $term_id );
		if ( $term instanceof \WP_Term ) {
			self::term( $term_id, $term->taxonomy, 'update', current_action() );
		}
	}

	/**
	 * Write a row for a term, if the REST API lists its taxonomy.
	 *
	 * @param int    $term_id   Id of the term.
	 * @param string $taxonomy  The taxonomy.
	 * @param string $operation The operation.
	 * @param string $source    The hook.
	 */
	private static function term( $term_id, $taxonomy, $operation, $source ) {
		if ( isset( self::TAXONOMIES[ $taxonomy ] ) ) {
			Journal::write( self::TAXONOMIES[ $taxonomy ], $term_id, $operation, $source );
		}
	}
}
