<?php
/**
 * The comment watcher: records changes of reviews and order notes.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to WordPress's hooks for comments.
 */
class Comment_Watcher {

	/**
	 * Register the hooks.
	 */
	public static function start() {
		add_action( 'wp_insert_comment', array( __CLASS__, 'comment_changed' ), 999 );
		add_action( 'edit_comment', array( __CLASS__, 'comment_changed' ), 999 );
		add_action( 'wp_set_comment_status', array( __CLASS__, 'comment_changed' ), 999 );
		add_action( 'trashed_comment', array( __CLASS__, 'comment_changed' ), 999 );
		add_action( 'untrashed_comment', array( __CLASS__, 'comment_changed' ), 999 );
		add_action( 'deleted_comment', array( __CLASS__, 'comment_deleted' ), 999, 2 );
		add_action( 'trashed_post_comments', array( __CLASS__, 'post_trashed' ), 999 );
		add_action( 'untrashed_post_comments', array( __CLASS__, 'post_untrashed' ), 999 );
	}

	/**
	 * Record reviews that were moved to the trash with their product.
	 *
	 * @param int $post_id Id of the post.
	 */
	public static function post_trashed( $post_id ) {
		self::reviews_of( (int) $post_id, 'trash' );
	}

	/**
	 * Record reviews that were restored from the trash with their product.
	 *
	 * @param int $post_id Id of the post.
	 */
	public static function post_untrashed( $post_id ) {
		self::reviews_of( (int) $post_id, 'restore' );
	}

	/**
	 * Record the reviews of a product that got another name or address, which they show.
	 *
	 * @param int $post_id Id of the product.
	 */
	public static function product_renamed( $post_id ) {
		self::reviews_of( $post_id, 'update' );
	}

	/**
	 * Write rows for all reviews of a product.
	 *
	 * @param int    $post_id   Id of the product.
	 * @param string $operation The operation.
	 */
	private static function reviews_of( $post_id, $operation ) {
		global $wpdb;
		if ( 'product' !== get_post_type( $post_id ) ) {
			return;
		}
		$ids = (array) $wpdb->get_col( $wpdb->prepare( "SELECT comment_ID FROM {$wpdb->comments} WHERE comment_post_ID = %d LIMIT %d", $post_id, Journal::ONE_BY_ONE + 1 ) ); // phpcs:ignore WordPress.DB
		foreach ( count( $ids ) > Journal::ONE_BY_ONE ? array( 0 ) : $ids as $id ) {
			Journal::write( 'product_review', (int) $id, $operation, current_action(), $id ? $post_id : 0 );
		}
	}

	/**
	 * Record a new or changed review or order note.
	 *
	 * @param int $id Id of the comment.
	 */
	public static function comment_changed( $id ) {
		$comment = get_comment( $id );
		if ( $comment instanceof \WP_Comment ) {
			self::comment( $comment, 'wp_insert_comment' === current_action() ? 'create' : 'update' );
		}
	}

	/**
	 * Record a deleted review or order note.
	 *
	 * @param int              $id      Id of the comment.
	 * @param \WP_Comment|null $comment The comment before it was deleted.
	 */
	public static function comment_deleted( $id, $comment = null ) {
		if ( $comment instanceof \WP_Comment ) {
			self::comment( $comment, 'delete' );
		}
	}

	/**
	 * Write a row for a comment, if it is a review or an order note.
	 *
	 * @param \WP_Comment $comment   The comment.
	 * @param string      $operation The operation.
	 */
	private static function comment( $comment, $operation ) {
		if ( 'order_note' === $comment->comment_type ) {
			Journal::write( 'order_note', (int) $comment->comment_ID, $operation, current_action(), (int) $comment->comment_post_ID );
		} elseif ( 'product' === get_post_type( (int) $comment->comment_post_ID ) ) {
			Journal::write( 'product_review', (int) $comment->comment_ID, $operation, current_action(), (int) $comment->comment_post_ID );
		}
	}
}
