<?php
/**
 * The post watcher: what happens to products, variations, coupons, and to orders that are posts.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to WordPress's hooks of posts and their meta, and to WooCommerce's of what they stand for.
 */
class Post_Watcher {

	/** Types of posts, and what they are in the journal. */
	const TYPES = array(
		'product'              => 'product',
		'product_variation'    => 'variation',
		'shop_coupon'          => 'coupon',
		'shop_order'           => 'order',
		'shop_order_refund'    => 'refund',
		// Holds the number of an order or a refund that is in WooCommerce's own tables.
		'shop_order_placehold' => 'order_or_refund',
	);

	/** Taxonomies whose terms are listed by the REST API. */
	const TAXONOMIES = array(
		'product_cat'            => 'product_category',
		'product_tag'            => 'product_tag',
		'product_shipping_class' => 'product_shipping_class',
	);

	/** Meta that no representation shows. */
	const HIDDEN_META = array( '_edit_lock', '_edit_last', '_wp_old_slug', '_wp_old_date', '_wp_trash_meta_status', '_wp_trash_meta_time', '_wp_trash_meta_comments_status', '_wp_desired_post_slug' );

	/**
	 * Listen.
	 */
	public static function start() {
		add_action( 'save_post', array( __CLASS__, 'saved' ), 999, 3 );
		add_action( 'trashed_post', array( __CLASS__, 'trashed' ), 999 );
		add_action( 'untrashed_post', array( __CLASS__, 'untrashed' ), 999 );
		add_action( 'before_delete_post', array( __CLASS__, 'dying' ), -999, 2 );
		add_action( 'deleted_post', array( __CLASS__, 'deleted' ), 999, 2 );
		foreach ( array( 'added_post_meta', 'updated_post_meta', 'deleted_post_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'meta' ), 999, 3 );
		}
		add_action( 'delete_post_meta', array( __CLASS__, 'meta_dying' ), 999, 3 );
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
	 * Listen to a hook whose first argument is an object of WooCommerce or its id.
	 *
	 * @param string $hook      Its name.
	 * @param string $type      What the object is; empty for a product or variation.
	 * @param string $operation What happens to it.
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
	 * What a type of post is in the journal; empty for what it does not tell.
	 *
	 * @param string|false $post_type Type of a post.
	 * @return string
	 */
	private static function type_of( $post_type ) {
		return self::TYPES[ (string) $post_type ] ?? '';
	}

	/**
	 * A post was saved.
	 *
	 * @param int      $id     Its id.
	 * @param \WP_Post $post   The post.
	 * @param bool     $update It was there before.
	 */
	public static function saved( $id, $post, $update ) {
		$type = self::type_of( $post->post_type );
		// The trash has hooks of its own; a placeholder says nothing of its order.
		if ( '' === $type || 'order_or_refund' === $type || in_array( $post->post_status, array( 'auto-draft', 'trash' ), true ) ) {
			return;
		}
		Journal::write( $type, $id, $update ? 'update' : 'create', 'save_post', $post->post_parent );
	}

	/**
	 * A post was moved to the trash.
	 *
	 * @param int $id Its id.
	 */
	public static function trashed( $id ) {
		self::moved( $id, 'trash', 'trashed_post' );
	}

	/**
	 * A post was taken out of the trash.
	 *
	 * @param int $id Its id.
	 */
	public static function untrashed( $id ) {
		self::moved( $id, 'restore', 'untrashed_post' );
	}

	/**
	 * A post was moved to the trash or back.
	 *
	 * @param int    $id        Its id.
	 * @param string $operation Which of them.
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
	 * A post is about to be deleted, and its meta before it.
	 *
	 * @param int           $id   Its id.
	 * @param \WP_Post|null $post The post.
	 */
	public static function dying( $id, $post = null ) {
		$post = $post ? $post : get_post( $id );
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' !== $type ) {
			Journal::dying( $type, $id );
		}
	}

	/**
	 * A post was deleted for good.
	 *
	 * @param int           $id   Its id.
	 * @param \WP_Post|null $post The post as it was.
	 */
	public static function deleted( $id, $post = null ) {
		$type = $post ? self::type_of( $post->post_type ) : '';
		if ( '' !== $type ) {
			Journal::write( $type, $id, 'delete', 'deleted_post', $post->post_parent );
		}
	}

	/**
	 * Meta of a post was written or deleted, by whomever.
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
	 * Meta is about to be deleted, perhaps of all posts that have it: then no hook names them.
	 *
	 * @param int[]    $meta_ids Ids of the meta.
	 * @param int|null $id       Id of the post, if it is one.
	 * @param string   $key      The meta's key.
	 */
	public static function meta_dying( $meta_ids, $id, $key ) {
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
	 * Terms were given to an object.
	 *
	 * @param int    $id       Id of the object.
	 * @param array  $terms    Terms.
	 * @param array  $tt_ids   Ids of the terms it has now.
	 * @param string $taxonomy Their taxonomy.
	 * @param bool   $append   Whether the old terms stay.
	 * @param array  $old      Ids of the terms it had.
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
	 * Terms were taken from an object.
	 *
	 * @param int    $id       Id of the object.
	 * @param array  $tt_ids   Ids of the terms.
	 * @param string $taxonomy Their taxonomy.
	 */
	public static function terms_removed( $id, $tt_ids, $taxonomy ) {
		self::assigned( $id, 'deleted_term_relationships' );
	}

	/**
	 * Terms of a post changed.
	 *
	 * @param int    $id     Its id.
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
	 * Stock is about to be written by a statement of SQL.
	 *
	 * @param string $sql The statement.
	 * @param int    $id  Id of the product or variation.
	 * @return string The statement, as it was.
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
	 * A term was made.
	 *
	 * @param int    $term_id  Its id.
	 * @param int    $tt_id    Its id in the taxonomy.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_created( $term_id, $tt_id, $taxonomy ) {
		self::term( $term_id, $taxonomy, 'create', 'created_term' );
	}

	/**
	 * A term was changed: products show its name, whichever they are, and variations some.
	 *
	 * @param int    $term_id  Its id.
	 * @param int    $tt_id    Its id in the taxonomy.
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
	 * A term was deleted.
	 *
	 * @param int    $term_id  Its id.
	 * @param int    $tt_id    Its id in the taxonomy.
	 * @param string $taxonomy The taxonomy.
	 */
	public static function term_deleted( $term_id, $tt_id, $taxonomy ) {
		self::term( $term_id, $taxonomy, 'delete', 'delete_term' );
	}

	/**
	 * The objects of a term were counted.
	 *
	 * @param int              $tt_id    Its id in the taxonomy.
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
	 * Terms lost their parent, which was deleted.
	 *
	 * @param int[] $tt_ids Their ids in the taxonomy.
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
	 * Meta of a term was written or deleted.
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
	 * Something happened to a term.
	 *
	 * @param int    $term_id   Its id.
	 * @param string $taxonomy  Its taxonomy.
	 * @param string $operation What happened.
	 * @param string $source    The hook.
	 */
	private static function term( $term_id, $taxonomy, $operation, $source ) {
		if ( isset( self::TAXONOMIES[ $taxonomy ] ) ) {
			Journal::write( self::TAXONOMIES[ $taxonomy ], $term_id, $operation, $source );
		}
	}
}
