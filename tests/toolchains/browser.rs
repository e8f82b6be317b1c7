//! Headless Chromium, as end-to-end tests of web pages drive it. Its own sandbox needs nested user namespaces.

use crate::support::{World, has};
use crate::table::{Row, rows};

const PAGE: &str = r#"
    echo '<p id=p></p><script>document.getElementById("p").textContent = 6 * 7</script>' > page.html
"#;

rows! {
    without_its_sandbox ["chromium"] r#"
        echo '<p id=p></p><script>document.getElementById("p").textContent = 6 * 7</script>' > page.html
        chromium --headless --no-sandbox --disable-gpu --window-size=200,200 --screenshot=shot.png file://$PWD/page.html > log 2>&1 || tail log
        head -c 4 shot.png | tail -c 3; echo; chromium --headless --no-sandbox --disable-gpu --dump-dom file://$PWD/page.html 2> log | grep -o '>42<'
    "# => "PNG\n>42<";
}

/// By grant; and without the grant it says so itself and ends, rather than going on without.
#[test]
fn with_its_sandbox() {
    let script = &format!(
        "{PAGE} chromium --headless --disable-gpu --dump-dom file://$PWD/page.html 2> log | grep -o '>42<' || {{ grep -io 'no usable sandbox' log | head -1; }}"
    );
    let row = Row {
        needs: &["chromium"],
        script,
        expected: ">42<",
    };
    row.check_with(&crate::table::Sides {
        inside: &["--grant", "nested-userns"],
        ..Default::default()
    });
    if has("chromium") {
        let ran = World::new().run(&[], script);
        assert_eq!(ran.out.trim_end().to_lowercase(), "no usable sandbox", "{ran:#?}");
    }
}
