// The interactive viewer: NiiVue from the page itself; where there is no WebGL the still pictures remain.
(async () => {
  const boxes = [...document.querySelectorAll('.viewer')];
  if (!boxes.length) return;
  const bytes = (id) => Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
  const fail = (why) => boxes.forEach((box) => {
    box.querySelector('.stage').hidden = true;
    box.querySelector('output').textContent = `The interactive viewer does not work here (${why}); the pictures below show the map.`;
    box.dataset.state = 'fallback';
  });
  if (!document.createElement('canvas').getContext('webgl2')) { fail('no WebGL 2'); return; }
  if (!('DecompressionStream' in window)) { fail('an old browser'); return; }
  const stream = new Blob([bytes('niivue')]).stream().pipeThrough(new DecompressionStream('gzip'));
  const script = document.createElement('script');
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  const show = async (box) => {
    const { chi, labels } = box.dataset;
    const names = JSON.parse(box.dataset.names || '{}');
    const read = box.querySelector('output');
    const viewer = new niivue.Niivue({ isRadiologicalConvention: true, show3Dcrosshair: false, crosshairWidth: 0.3, dragMode: 1,
      crosshairColor: [0.34, 0.71, 0.91, 0.9], backColor: [0, 0, 0, 1], logLevel: 'silent' });
    await viewer.attachToCanvas(box.querySelector('canvas'));
    viewer.onLocationChange = (at) => {
      const [value, label] = at.values;
      const mm = Array.from(at.mm).slice(0, 3).map((x) => x.toFixed(1)).join(', ');
      const region = label ? names[Math.round(label.value)] : '';
      read.textContent = `${value.value.toFixed(3)} ppm at ${mm} mm${region ? ` · ${region}` : ''}`;
    };
    await viewer.loadFromArrayBuffer(bytes(chi).buffer, 'chi.nii.gz');
    viewer.volumes[0].cal_min = -0.1;
    viewer.volumes[0].cal_max = 0.2;
    if (labels) {
      await viewer.loadFromArrayBuffer(bytes(labels).buffer, 'labels.nii.gz');
      viewer.volumes[1].colormap = 'random';
      viewer.volumes[1].cal_min = 0.5;
      viewer.setOpacity(1, 0.3);
      const slider = box.querySelector('input');
      slider.addEventListener('input', () => viewer.setOpacity(1, Number(slider.value) / 100));
    }
    viewer.setSliceType(viewer.sliceTypeMultiplanar);
    viewer.opts.multiplanarShowRender = 0;
    viewer.updateGLVolume();
    viewer.createOnLocationChange();
    box.dataset.state = 'drawn';
  };
  try {
    for (const box of boxes) await show(box);
  } catch (error) { fail(error.message); }
})();
