<?php
/**
 * The integration: the plugin's page in WooCommerce > Settings > Integration.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Shows how the connection is, and lets a shop owner connect and disconnect.
 */
class Integration extends \WC_Integration {

	/** Seconds after which a reader that used to come is late; many poll less often than that. */
	const LATE_AFTER = 2 * HOUR_IN_SECONDS;

	/** Seconds after which it is missed. */
	const MISSED_AFTER = 25 * HOUR_IN_SECONDS;

	/**
	 * Name the page.
	 */
	public function __construct() {
		$this->id                 = 'flask_woo_events';
		$this->method_title       = __( 'Flask Woo Events', 'flask-woo-events' );
		$this->method_description = __( 'Tells a Flask application every change of products, orders, customers and coupons. Paste the address that you were given, save, and connect.', 'flask-woo-events' );
		$this->init_form_fields();
		add_action( 'woocommerce_update_options_integration_' . $this->id, array( $this, 'process_admin_options' ) );
	}

	/**
	 * The one field that there is to fill in.
	 */
	public function init_form_fields() {
		$this->form_fields = array(
			'address' => array(
				'title'       => __( 'Address of the Flask application', 'flask-woo-events' ),
				'type'        => 'address',
				'description' => __( 'The invitation that you were given: a link that begins with https:// and holds a secret. Do not show it to anybody.', 'flask-woo-events' ),
			),
		);
	}

	/**
	 * Keep the address if it can be one.
	 *
	 * @return bool Whether it was saved.
	 */
	public function process_admin_options() {
		$field = $this->get_field_key( 'address' );
		// WooCommerce has checked the nonce of its settings form.
		$address = isset( $_POST[ $field ] ) ? trim( sanitize_url( wp_unslash( $_POST[ $field ] ) ) ) : ''; // phpcs:ignore WordPress.Security.NonceVerification
		if ( '' === $address && isset( $_POST[ $field . '_keep' ] ) ) { // phpcs:ignore WordPress.Security.NonceVerification
			return false;
		}
		if ( '' !== $address && ! Connection::is_address( $address ) ) {
			\WC_Admin_Settings::add_error( __( 'The address must begin with https://', 'flask-woo-events' ) );
			return false;
		}
		return update_option( Installer::ADDRESS_OPTION, $address, false );
	}

	/**
	 * The field of the address, which shows it without the secret.
	 *
	 * @param string $key  Its key.
	 * @param array  $data What is said of it.
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
	 * The page: what happened, the address, and how all is.
	 */
	public function admin_options() {
		$this->show_word();
		parent::admin_options();
		$this->show_state();
	}

	/**
	 * Tell what a button did, or what the application answered.
	 */
	private function show_word() {
		// phpcs:disable WordPress.Security.NonceVerification -- They only choose a sentence.
		$word = isset( $_GET['flask_woo_events'] ) ? sanitize_key( wp_unslash( $_GET['flask_woo_events'] ) ) : '';
		// phpcs:enable
		$words = array(
			'connected'    => array( 'success', __( 'The store is connected. The application reads it for the first time now.', 'flask-woo-events' ) ),
			'denied'       => array( 'warning', __( 'You did not approve. Nothing was connected.', 'flask-woo-events' ) ),
			'failed'       => array( 'error', __( 'The store could not be connected. The application has shown the reason; try again, or ask whoever gave you the address.', 'flask-woo-events' ) ),
			'disconnected' => array( 'success', __( 'The store is disconnected: the keys and the webhooks of the application were removed.', 'flask-woo-events' ) ),
			'no-address'   => array( 'error', __( 'Enter the address that you were given, and save it first.', 'flask-woo-events' ) ),
		);
		if ( isset( $words[ $word ] ) ) {
			echo '<div class="notice notice-' . esc_attr( $words[ $word ][0] ) . ' inline"><p>' . esc_html( $words[ $word ][1] ) . '</p></div>';
		}
	}

	/**
	 * The table of how all is, and the buttons.
	 */
	private function show_state() {
		$keys = Connection::keys();
		$read = REST_Controller::last_read();
		echo '<h2>' . esc_html__( 'How it is', 'flask-woo-events' ) . '</h2><table class="widefat striped" style="max-width: 56em;" role="presentation"><tbody>';
		$this->row( __( 'Connection', 'flask-woo-events' ), $this->connection( $keys, $read ) );
		$this->row( __( 'Last poll', 'flask-woo-events' ), $this->last_poll( $read ) );
		$this->row( __( 'Journal', 'flask-woo-events' ), $this->journal() );
		$this->row( __( 'Webhooks', 'flask-woo-events' ), $this->webhooks() );
		echo '</tbody></table><p style="margin-top: 1.5em;">';
		if ( '' !== Connection::address() ) {
			$label = $keys ? __( 'Connect again', 'flask-woo-events' ) : __( 'Connect', 'flask-woo-events' );
			// A link and not a form: WooCommerce's settings are one form already.
			printf( '<a class="button button-primary" id="flask-woo-events-connect" href="%s">%s</a> ', esc_url( $this->button( Connection::CONNECT ) ), esc_html( $label ) );
		}
		if ( $keys || Connection::webhooks() ) {
			printf(
				'<a class="button" id="flask-woo-events-disconnect" href="%s" onclick="return confirm(\'%s\');">%s</a>',
				esc_url( $this->button( Connection::DISCONNECT ) ),
				esc_js( __( 'The application will not be able to read this store any more. Disconnect it?', 'flask-woo-events' ) ),
				esc_html__( 'Disconnect', 'flask-woo-events' )
			);
		}
		echo '</p>';
	}

	/**
	 * The address of a button.
	 *
	 * @param string $action What it does.
	 * @return string
	 */
	private function button( $action ) {
		return wp_nonce_url( admin_url( 'admin-post.php?action=' . $action ), $action );
	}

	/**
	 * A row of the table.
	 *
	 * @param string $title Its title.
	 * @param string $html  What it says, escaped.
	 */
	private function row( $title, $html ) {
		echo '<tr><th scope="row" style="width: 11em; font-weight: 600;">' . esc_html( $title ) . '</th><td>' . wp_kses_post( $html ) . '</td></tr>';
	}

	/**
	 * A word with a coloured dot before it.
	 *
	 * @param string $colour good, doubtful, bad or none.
	 * @param string $text   The word.
	 * @return string
	 */
	private function mark( $colour, $text ) {
		$colours = array(
			'good'     => '#008a20',
			'doubtful' => '#dba617',
			'bad'      => '#d63638',
			'none'     => '#8c8f94',
		);
		return '<span style="color:' . $colours[ $colour ] . '">&#9679;</span> ' . esc_html( $text );
	}

	/**
	 * How the connection is.
	 *
	 * @param array[]    $keys The application's keys.
	 * @param array|null $read The last reading.
	 * @return string
	 */
	private function connection( $keys, $read ) {
		if ( ! $keys && ! $read ) {
			return '' === Connection::address()
				? $this->mark( 'none', __( 'Not connected. Enter the address that you were given.', 'flask-woo-events' ) )
				: $this->mark( 'none', __( 'Not connected. Press Connect.', 'flask-woo-events' ) );
		}
		if ( ! $read ) {
			return $this->mark( 'doubtful', __( 'Connected. The application has not come yet.', 'flask-woo-events' ) );
		}
		if ( time() - $read['time'] > self::MISSED_AFTER ) {
			return $this->mark( 'bad', __( 'The application does not come any more. Ask whoever gave you the address.', 'flask-woo-events' ) );
		}
		if ( time() - $read['time'] > self::LATE_AFTER ) {
			return $this->mark( 'doubtful', __( 'Connected. The application has not come for a while.', 'flask-woo-events' ) );
		}
		return $this->mark( 'good', __( 'Connected.', 'flask-woo-events' ) );
	}

	/**
	 * When the application last came.
	 *
	 * @param array|null $read The last reading.
	 * @return string
	 */
	private function last_poll( $read ) {
		if ( ! $read ) {
			return esc_html__( 'Never', 'flask-woo-events' );
		}
		/* translators: 1: a span of time, for example "5 minutes", 2: date and time, 3: the last characters of an API key */
		$text = __( '%1$s ago (%2$s), with the key that ends in %3$s', 'flask-woo-events' );
		return esc_html( sprintf( $text, human_time_diff( $read['time'] ), wp_date( get_option( 'date_format' ) . ' ' . get_option( 'time_format' ), $read['time'] ), '' === $read['key'] ? '…' : $read['key'] ) );
	}

	/**
	 * How the journal is.
	 *
	 * @return string
	 */
	private function journal() {
		if ( ! Journal::exists() ) {
			return $this->mark( 'bad', __( 'Its table is missing. It is made anew with the next change.', 'flask-woo-events' ) );
		}
		$facts = Journal::facts();
		if ( 0 === $facts['head'] ) {
			return esc_html__( 'Nothing has happened yet.', 'flask-woo-events' );
		}
		/* translators: 1: number of the newest entry, 2: number of the oldest entry */
		return esc_html( sprintf( __( 'Newest entry %1$s, oldest %2$s', 'flask-woo-events' ), number_format_i18n( $facts['head'] ), number_format_i18n( $facts['oldest'] ) ) );
	}

	/**
	 * How the application's webhooks are.
	 *
	 * @return string
	 */
	private function webhooks() {
		$webhooks = Connection::webhooks();
		if ( ! $webhooks ) {
			return Connection::keys() ? esc_html__( 'None. The application polls this store.', 'flask-woo-events' ) : esc_html__( 'None', 'flask-woo-events' );
		}
		$ill = array_filter(
			$webhooks,
			function ( $webhook ) {
				return 'active' !== $webhook['status'] || $webhook['failures'] > 0;
			}
		);
		if ( ! $ill ) {
			/* translators: %s: number of webhooks */
			return $this->mark( 'good', sprintf( _n( '%s webhook, well', '%s webhooks, all well', count( $webhooks ), 'flask-woo-events' ), number_format_i18n( count( $webhooks ) ) ) );
		}
		$lines = array();
		foreach ( $ill as $webhook ) {
			/* translators: 1: topic of a webhook, 2: its status, 3: failures in a row */
			$lines[] = esc_html( sprintf( __( '%1$s: %2$s, failures in a row: %3$s', 'flask-woo-events' ), $webhook['topic'], $webhook['status'], number_format_i18n( $webhook['failures'] ) ) );
		}
		/* translators: 1: number of webhooks with trouble, 2: number of all webhooks */
		$head = sprintf( __( '%1$s of %2$s webhooks are not well; the application puts them right by itself:', 'flask-woo-events' ), number_format_i18n( count( $ill ) ), number_format_i18n( count( $webhooks ) ) );
		return $this->mark( 'doubtful', $head ) . '<br />' . implode( '<br />', $lines );
	}
}
