const box = document.getElementById("choose");
if (box) {
  const select = box.querySelector("select");
  const sections = document.querySelectorAll("section.series");
  const show = () => {
    for (const one of sections) one.classList.toggle("away", select.value !== "" && one.id !== select.value);
  };
  box.hidden = false;
  select.value = "";
  select.addEventListener("change", show);
  // A link to a series that is hidden shows it.
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.classList.contains("away")) {
      select.value = target.id;
      show();
      target.scrollIntoView();
    }
  });
}
