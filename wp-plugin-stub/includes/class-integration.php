<?php
/**
 * The integration: the plugin's settings page in WooCommerce > Settings > Integration.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Shows the status of the connection, and lets a shop owner connect and disconnect.
 */
class Integration extends \WC_Integration {

	/** Seconds without a read after which the connection is shown as late; longer than usual poll intervals. */
	const LATE_AFTER = 2 * HOUR_IN_SECONDS;

	/** Seconds without a read after which the connection is shown as broken. */
	const MISSED_AFTER = 25 * HOUR_IN_SECONDS;

	/**
	 * Set the page's id, title and description.
	 */
	public function __construct() {
		$this->id                 = 'flask_woo_events';
		$this->method_title       = __( 'Flask Woo Events', 'flask-woo-events' );
		$this->method_description = __( 'Reports every change of products, orders, customers and coupons to a Flask application. Paste the address that you received, save it, and connect.', 'flask-woo-events' );
		$this->init_form_fields();
		add_action( 'woocommerce_update_options_integration_' . $this->id, array( $this, 'process_admin_options' ) );
	}

	/**
	 * Define the only field of the form.
	 */
	public function init_form_fields() {
		$this->form_fields = array(
			'address' => array(
				'title'       => __( 'Address of the Flask application', 'flask-woo-events' ),
				'type'        => 'address',
				'description' => __( 'The invitation that you received: a link that begins with https:// and contains a secret. Do not share it.', 'flask-woo-events' ),
			),
		);
	}

	/**
	 * Save the address if it is valid.
	 *
	 * @return bool Whether it was saved.
	 */
	public function process_admin_options() {
		$field = $this->get_field_key( 'address' );
		// WooCommerce has verified the nonce of its settings form.
		$address = isset( $_POST[ $field ] ) ? trim( sanitize_url( wp_unslash( $_POST[ $field ] ) ) ) : ''; // phpcs:ignore WordPress.Security.NonceVerification
		if ( '' === $address && isset( $_POST[ $field . '_keep' ] ) ) { // phpcs:ignore WordPress.Security.NonceVerification
			return false;
		}
		if ( '' !== $address && ! Connection::is_address( $address ) ) {
			\WC_Admin_Settings::add_error( __( 'The address must begin with https://.', 'flask-woo-events' ) );
			return false;
		}
		return update_option( Installer::ADDRESS_OPTION, $address, false );
	}

	/**
	 * Return the HTML of the address field, which never shows the secret.
	 *
	 * @param string $key  Key of the field.
	 * @param array  $data Definition of the field.
	 * @return string
	 */
	public function generate_address_html( $key, $data ) {
		$field = $this->get_field_key( $key );
		$shown = Connection::shown_address();
		ob_start();
		?>
		<tr valign="top">
			<th scope="row" class="titledesc"><label for="<?php echo esc_attr( $field ); ?>"><?php echo esc_html( $data['title'] ); ?></label></th>
			<td class="forminp">
				<input class="input-text regular-input" type="url" name="<?php echo esc_attr( $field ); ?>" id="<?php echo esc_attr( $field ); ?>" style="width: 32em; max-width: 100%;" autocomplete="off" value="" placeholder="<?php echo esc_attr( '' === $shown ? 'https://' : $shown ); ?>" />
				<?php if ( '' !== $shown ) : ?>
					<input type="hidden" name="<?php echo esc_attr( $field ); ?>_keep" value="1" />
				<?php endif; ?>
				<p class="description">
					<?php
					if ( '' !== $shown ) {
						/* translators: %s: address of the application */
						echo esc_html( sprintf( __( 'Saved: %s. Leave the field empty to keep it.', 'flask-woo-events' ), $shown ) ) . ' ';
					}
					echo esc_html( $data['description'] );
					?>
				</p>
			</td>
		</tr>
		<?php
		return (string) ob_get_clean();
	}

	/**
	 * Print the page: a message, the address, and the status.
	 */
	public function admin_options() {
		$this->show_message();
		parent::admin_options();
		$this->show_status();
	}

	/**
	 * Print the result of a button, or of the application's redirect.
	 */
	private function show_message() {
		// phpcs:disable WordPress.Security.NonceVerification -- It only selects a message.
		$message = isset( $_GET['flask_woo_events'] ) ? sanitize_key( wp_unslash( $_GET['flask_woo_events'] ) ) : '';
		// phpcs:enable
		$messages = array(
			'connected'    => array( 'success', __( 'The store is connected. The application is now reading it for the first time.', 'flask-woo-events' ) ),
			'denied'       => array( 'warning', __( 'You did not approve the connection. The store was not connected.', 'flask-woo-events' ) ),
			'failed'       => array( 'error', __( 'The store could not be connected. The application showed the reason. Try again, or contact the person who sent you the address.', 'flask-woo-events' ) ),
			'disconnected' => array( 'success', __( 'The store is disconnected. The keys and the webhooks of the application were removed.', 'flask-woo-events' ) ),
			'no-address'   => array( 'error', __( 'First enter the address that you received, and save it.', 'flask-woo-events' ) ),
		);
		if ( isset( $messages[ $message ] ) ) {
			echo '<div class="notice notice-' . esc_attr( $messages[ $message ][0] ) . ' inline"><p>' . esc_html( $messages[ $message ][1] ) . '</p></div>';
		}
	}

	/**
	 * Print the status table and the buttons.
	 */
	private function show_status() {
		$keys = Connection::keys();
		$read = REST_Controller::last_read();
		echo '<h2>' . esc_html__( 'Status', 'flask-woo-events' ) . '</h2><table class="widefat striped" style="max-width: 56em;" role="presentation"><tbody>';
		$this->row( __( 'Connection', 'flask-woo-events' ), $this->connection( $keys, $read ) );
		$this->row( __( 'Last poll', 'flask-woo-events' ), $this->last_poll( $read ) );
		$this->row( __( 'Journal', 'flask-woo-events' ), $this->journal() );
		$this->row( __( 'Webhooks', 'flask-woo-events' ), $this->webhooks() );
		echo '</tbody></table><p style="margin-top: 1.5em;">';
		if ( '' !== Connection::address() ) {
			$label = $keys ? __( 'Connect again', 'flask-woo-events' ) : __( 'Connect', 'flask-woo-events' );
			// A link, because WooCommerce's settings page is already one form.
			printf( '<a class="button button-primary" id="flask-woo-events-connect" href="%s">%s</a> ', esc_url( $this->button( Connection::CONNECT ) ), esc_html( $label ) );
		}
		if ( $keys || Connection::webhooks() ) {
			printf(
				'<a class="button" id="flask-woo-events-disconnect" href="%s" onclick="return confirm(\'%s\');">%s</a>',
				esc_url( $this->button( Connection::DISCONNECT ) ),
				esc_js( __( 'The application will no longer be able to read this store. Disconnect it?', 'flask-woo-events' ) ),
				esc_html__( 'Disconnect', 'flask-woo-events' )
			);
		}
		echo '</p>';
	}

	/**
	 * Return the URL of a button.
	 *
	 * @param string $action Its action.
	 * @return string
	 */
	private function button( $action ) {
		return wp_nonce_url( admin_url( 'admin-post.php?action=' . $action ), $action );
	}

	/**
	 * Print a row of the table.
	 *
	 * @param string $title Its title.
	 * @param string $html  Its content, escaped.
	 */
	private function row( $title, $html ) {
		echo '<tr><th scope="row" style="width: 11em; font-weight: 600;">' . esc_html( $title ) . '</th><td>' . wp_kses_post( $html ) . '</td></tr>';
	}

	/**
	 * Return a text with a colored dot before it.
	 *
	 * @param string $state good, warning, bad or none.
	 * @param string $text  The text.
	 * @return string
	 */
	private function mark( $state, $text ) {
		$colors = array(
			'good'    => '#008a20',
			'warning' => '#dba617',
			'bad'     => '#d63638',
			'none'    => '#8c8f94',
		);
		return '<span style="color:' . $colors[ $state ] . '">&#9679;</span> ' . esc_html( $text );
	}

	/**
	 * Return the status of the connection.
	 *
	 * @param array[]    $keys The application's keys.
	 * @param array|null $read The last read.
	 * @return string
	 */
	private function connection( $keys, $read ) {
		if ( ! $keys && ! $read ) {
			return '' === Connection::address()
				? $this->mark( 'none', __( 'Not connected. Enter the address that you received.', 'flask-woo-events' ) )
				: $this->mark( 'none', __( 'Not connected. Press Connect.', 'flask-woo-events' ) );
		}
		if ( ! $read ) {
			return $this->mark( 'warning', __( 'Connected. The application has not read the journal yet.', 'flask-woo-events' ) );
		}
		if ( time() - $read['time'] > self::MISSED_AFTER ) {
			return $this->mark( 'bad', __( 'The application has stopped reading the journal. Contact the person who sent you the address.', 'flask-woo-events' ) );
		}
		if ( time() - $read['time'] > self::LATE_AFTER ) {
			return $this->mark( 'warning', __( 'Connected. The application has not read the journal recently.', 'flask-woo-events' ) );
		}
		return $this->mark( 'good', __( 'Connected.', 'flask-woo-events' ) );
	}

	/**
	 * Return when the application last read the journal.
	 *
	 * @param array|null $read The last read.
	 * @return string
	 */
	private function last_poll( $read ) {
		if ( ! $read ) {
			return esc_html__( 'Never', 'flask-woo-events' );
		}
		/* translators: 1: a duration, for example "5 minutes", 2: date and time, 3: the last characters of an API key */
		$text = __( '%1$s ago (%2$s), with the key that ends in %3$s', 'flask-woo-events' );
		return esc_html( sprintf( $text, human_time_diff( $read['time'] ), wp_date( get_option( 'date_format' ) . ' ' . get_option( 'time_format' ), $read['time'] ), '' === $read['key'] ? '…' : $read['key'] ) );
	}

	/**
	 * Return the status of the journal.
	 *
	 * @return string
	 */
	private function journal() {
		if ( ! Journal::exists() ) {
			return $this->mark( 'bad', __( 'The table is missing. It is created again with the next change.', 'flask-woo-events' ) );
		}
		$facts = Journal::facts();
		if ( 0 === $facts['head'] ) {
			return esc_html__( 'No changes yet.', 'flask-woo-events' );
		}
		/* translators: 1: number of the newest entry, 2: number of the oldest entry */
		return esc_html( sprintf( __( 'Newest entry %1$s, oldest %2$s', 'flask-woo-events' ), number_format_i18n( $facts['head'] ), number_format_i18n( $facts['oldest'] ) ) );
	}

	/**
	 * Return the status of the application's webhooks.
	 *
	 * @return string
	 */
	private function webhooks() {
		$webhooks = Connection::webhooks();
		if ( ! $webhooks ) {
			return Connection::keys() ? esc_html__( 'None. The application polls this store.', 'flask-woo-events' ) : esc_html__( 'None', 'flask-woo-events' );
		}
		$failing = array_filter(
			$webhooks,
			function ( $webhook ) {
				return 'active' !== $webhook['status'] || $webhook['failures'] > 0;
			}
		);
		if ( ! $failing ) {
			/* translators: %s: number of webhooks */
			return $this->mark( 'good', sprintf( _n( '%s webhook, working', '%s webhooks, all working', count( $webhooks ), 'flask-woo-events' ), number_format_i18n( count( $webhooks ) ) ) );
		}
		$lines = array();
		foreach ( $failing as $webhook ) {
			/* translators: 1: topic of a webhook, 2: its status, 3: consecutive failures */
			$lines[] = esc_html( sprintf( __( '%1$s: %2$s, consecutive failures: %3$s', 'flask-woo-events' ), $webhook['topic'], $webhook['status'], number_format_i18n( $webhook['failures'] ) ) );
		}
		/* translators: 1: number of failing webhooks, 2: number of all webhooks */
		$head = sprintf( __( '%1$s of %2$s webhooks have problems. The application repairs them automatically:', 'flask-woo-events' ), number_format_i18n( count( $failing ) ), number_format_i18n( count( $webhooks ) ) );
		return $this->mark( 'warning', $head ) . '<br />' . implode( '<br />', $lines );
	}
}
