"""The report's page in a browser: charts, slider, keyboard, widths, color schemes, nothing from the network."""

import shutil
from itertools import pairwise

import pytest
from helpers.result_folders import write_results

from iart.reporting.page import write_report

CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason='Chromium and its driver are not installed (Debian: chromium-driver)'
)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    webdriver = pytest.importorskip(
        'selenium.webdriver', reason='selenium is not installed (scripts/requirements-dev.txt)'
    )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (
        'headless=new',
        'no-sandbox',
        'disable-gpu',
        'disable-dev-shm-usage',
        'no-first-run',
        'disable-quic',
        'disable-sync',
    ):
        options.add_argument(f'--{switch}')
    options.add_argument('--disable-background-networking')
    options.add_argument('--disable-component-update')
    options.add_argument(f'--user-data-dir={tmp_path_factory.mktemp("profile")}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp('page')
    return write_report(write_results(root), root / 'page.html').as_uri()


@pytest.fixture
def page(browser, address):
    emulate(browser, 1400, 'light')
    browser.get(address)
    yield browser
    assert [entry for entry in browser.get_log('browser') if entry['level'] in ('SEVERE', 'WARNING')] == []


def emulate(browser, width, scheme):
    metrics = {'width': width, 'height': 900, 'deviceScaleFactor': 1, 'mobile': False}
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    wishes = {'prefers-color-scheme': scheme, 'prefers-reduced-motion': 'reduce'}  # nothing may move under the pointer
    browser.execute_cdp_cmd(
        'Emulation.setEmulatedMedia', {'features': [{'name': n, 'value': v} for n, v in wishes.items()]}
    )


def find(page, selector):
    return page.find_element('css selector', selector)


def press(element, *names):
    from selenium.webdriver.common.keys import Keys

    element.send_keys(*(getattr(Keys, name) for name in names))


def test_opens_from_a_file_and_draws(page):
    assert page.execute_script('return document.documentElement.dataset.ready') == 'yes'
    assert (
        page.execute_script(
            'return performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length'
        )
        == 0
    )
    drawn = page.execute_script(
        'return [...document.querySelectorAll(".plot")].map(p => p.querySelectorAll("path.line").length)'
    )
    assert drawn == [2, 2, 2, 2]
    lengths = page.execute_script('return [...document.querySelectorAll("path.line")].map(p => p.getTotalLength())')
    assert min(lengths) > 100
    broken = 'return [...document.images].filter(i => i.complete && !i.naturalWidth).length'
    assert page.execute_script(broken) == 0


def test_slider_moves_by_keyboard(page):
    slider = find(page, '.viewer input[type="range"]')
    place = 'return getComputedStyle(document.querySelector(".shot:not([hidden]) .divider")).left'
    middle = float(page.execute_script(place)[:-2])
    press(slider, 'HOME')
    assert float(page.execute_script(place)[:-2]) == pytest.approx(0, abs=1)
    for _ in range(4):
        press(slider, 'ARROW_RIGHT')
    assert slider.get_attribute('value') == '2'
    press(slider, 'END')
    assert float(page.execute_script(place)[:-2]) == pytest.approx(2 * middle, rel=0.01)
    assert slider.get_attribute('aria-valuetext').startswith('100 % Bicubic')


def test_slider_moves_by_dragging(page):
    from selenium.webdriver import ActionChains

    stage = find(page, '.shot:not([hidden]) .stage')
    page.execute_script('arguments[0].scrollIntoView({block: "center", behavior: "instant"})', stage)
    ActionChains(page).move_to_element(stage).click_and_hold().move_by_offset(
        -stage.size['width'] // 4, 0
    ).release().perform()
    assert float(find(page, '.viewer input[type="range"]').get_attribute('value')) == pytest.approx(25, abs=1)


def test_any_two_versions_of_any_frame(page):
    from selenium.webdriver.support.ui import Select

    shown = (
        'return [...document.querySelectorAll(".shot:not([hidden]) img:not([hidden])")].map(i => i.dataset.name).sort()'
    )
    assert page.execute_script(shown) == ['</script>Net', 'Bicubic']
    left, right = Select(find(page, '.pick-left')), Select(find(page, '.pick-right'))
    names = [option.text for option in left.options]
    assert names == ['Bicubic', '</script>Net', 'GT', 'Error of Bicubic', 'Error of </script>Net']
    left.select_by_visible_text('Error of Bicubic')
    right.select_by_visible_text('GT')
    assert page.execute_script(shown) == ['Error of Bicubic', 'GT']
    frames = Select(find(page, '.pick-shot'))
    assert len(frames.options) == 4
    frames.select_by_index(3)
    assert page.execute_script(shown) == ['Error of Bicubic', 'GT']
    assert page.execute_script('return document.querySelectorAll(".shot:not([hidden])").length') == 1
    find(page, '.swap').click()
    assert left.first_selected_option.text == 'GT'


def test_charts_tell_their_figures(page):
    from selenium.webdriver import ActionChains

    plot, readout = find(page, '.plot'), find(page, '.chart .readout')
    assert readout.text.startswith('mean of the frames')
    page.execute_script(
        'arguments[0].scrollIntoView({block: "center", behavior: "instant"}); arguments[0].focus()', plot
    )
    press(plot, 'END', 'ARROW_LEFT')
    assert readout.text.startswith('frame 004')
    ActionChains(page).move_to_element_with_offset(plot, plot.size['width'] // 2 - 12, 0).perform()
    assert readout.text.startswith('frame 005')
    assert 'Bicubic' in readout.text


@pytest.mark.parametrize('width', [400, 1400])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_widths_and_schemes(page, width, scheme):
    emulate(page, width, scheme)
    assert page.execute_script('return document.documentElement.scrollWidth') <= width
    color = page.execute_script('return getComputedStyle(document.body).backgroundColor')
    brightness = sum(map(int, color.removeprefix('rgb(').removesuffix(')').split(',')))
    assert (brightness > 600) is (scheme == 'light')
    heights = page.execute_script(
        'return [...document.querySelectorAll(".plot text")].map(t => t.getBoundingClientRect().height)'
    )
    assert min(heights) >= 10


def test_headings_go_down_step_by_step(page):
    levels = page.execute_script(
        'return [...document.querySelectorAll("h1, h2, h3, h4")].map(h => Number(h.tagName[1]))'
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
